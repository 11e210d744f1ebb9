//! An engine's unix socket. It takes a connection and a first question at once, so that neither waits for the runtime to be told
//! that they are possible: an engine is at work before the next one is asked.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

/// An open connection. Before the first write, nobody has asked the system yet whether it would block.
pub(super) struct Prompt {
    stream: UnixStream,
    untried: bool,
}

impl Prompt {
    /// Connects to the socket at `path`, or fails: it never waits, even where the engine takes no more connections.
    pub(super) fn connect(path: &str) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
        socket.connect(&SockAddr::unix(path)?)?;
        let stream = UnixStream::from_std(std::os::unix::net::UnixStream::from(OwnedFd::from(socket)))?;
        Ok(Self { stream, untried: true })
    }
}

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if std::mem::take(&mut self.untried) {
            match SockRef::from(&self.stream).send(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return Poll::Ready(written),
            }
        }
        Pin::new(&mut self.stream).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    use super::*;

    /// The runtime has no turn between the connection and its first question.
    #[tokio::test]
    async fn the_first_question_is_with_the_engine_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("engine.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        let mut stream = Prompt::connect(&path.display().to_string()).expect("a connection");
        let mut context = Context::from_waker(std::task::Waker::noop());
        let written = Pin::new(&mut stream).poll_write(&mut context, b"asked");
        assert!(matches!(written, Poll::Ready(Ok(5))), "{written:?}");
        let (mut engine, _) = listener.accept().expect("a connection");
        let mut got = [0; 5];
        std::io::Read::read_exact(&mut engine, &mut got).expect("the question");
        assert_eq!(&got, b"asked");
    }

    /// More than the socket has room for waits until the other side has read.
    #[tokio::test]
    async fn what_does_not_fit_waits() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("engine.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        let mut stream = Prompt::connect(&path.display().to_string()).expect("a connection");
        let (mut engine, _) = listener.accept().await.expect("a connection");
        let much = vec![7; 4 << 20];
        let mut got = Vec::new();
        let written = async {
            stream.write_all(&much).await.expect("all of it");
            stream.shutdown().await.expect("its end");
        };
        let (read, ()) = tokio::join!(engine.read_to_end(&mut got), written);
        assert_eq!(read.expect("all of it"), much.len());
        assert_eq!(got, much);
    }

    /// A listener that takes none is an error, and not a wait.
    #[tokio::test]
    async fn an_engine_that_takes_no_connection_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("engine.sock");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        socket.bind(&SockAddr::unix(&path).expect("a path")).expect("its name");
        socket.listen(0).expect("a queue of one");
        let path = path.display().to_string();
        let _first = Prompt::connect(&path).expect("the one that waits");
        let error = Prompt::connect(&path).err().expect("no more room");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
