//! Carbon's plaintext port: a batch of lines at a time on one connection, opened anew when it breaks.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// One batch is sent, or given up, within this.
const DEADLINE: Duration = Duration::from_secs(10);

/// A way to carbon.
#[derive(Debug)]
pub struct Graphite {
    /// `host:port`.
    address: String,
    connection: Option<TcpStream>,
}

impl Graphite {
    /// Nothing is dialled yet.
    pub fn new(address: String) -> Self {
        Self { address, connection: None }
    }

    /// Sends the lines. A batch that fails is lost, and told: the next one carries newer numbers. A connection that
    /// carbon closed meanwhile is opened once more.
    pub async fn send(&mut self, lines: &str) -> Result<(), String> {
        let told = |e: String| format!("carbon at {}: {e}", self.address);
        let sent =
            tokio::time::timeout(DEADLINE, Self::sent(&self.address, &mut self.connection, lines)).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(told(error.to_string())),
            Err(_) => {
                self.connection = None;
                Err(told(format!("took nothing within {} s", DEADLINE.as_secs())))
            }
        }
    }

    async fn sent(address: &str, connection: &mut Option<TcpStream>, lines: &str) -> std::io::Result<()> {
        if let Some(mut open) = connection.take().filter(is_open)
            && open.write_all(lines.as_bytes()).await.is_ok()
        {
            *connection = Some(open);
            return Ok(());
        }
        let mut fresh = TcpStream::connect(address).await?;
        fresh.write_all(lines.as_bytes()).await?;
        *connection = Some(fresh);
        Ok(())
    }
}

/// Carbon says nothing, ever: anything to read is the end.
fn is_open(connection: &TcpStream) -> bool {
    matches!(connection.try_read(&mut [0; 1]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
}
