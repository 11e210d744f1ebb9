//! Signatures of `ssh-keygen -Y sign`, which git keeps in commits: read and verified as `ssh-keygen -Y verify` does.
//!
//! The format is OpenSSH's PROTOCOL.sshsig. What proves nothing is told in words for the person whose commit is held.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
    VerificationAlgorithm,
};
use sha2::{Digest as _, Sha256, Sha512};

use crate::model::permission::PublicKey;

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
const MAGIC: &[u8] = b"SSHSIG";
/// An RSA key of 8192 bits, twice, and names: nothing honest is longer.
const LONGEST: usize = 16 << 10;

/// Fields as SSH writes them: a length in four bytes, and so many bytes.
struct Fields<'a>(&'a [u8]);

type Found<T> = Result<T, String>;

fn cut() -> String {
    "its signature is malformed: it ends too early".to_owned()
}

impl<'a> Fields<'a> {
    fn bytes(&mut self, count: usize) -> Found<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(cut)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Found<u32> {
        Ok(self.bytes(4)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    fn string(&mut self) -> Found<&'a [u8]> {
        let length = usize::try_from(self.number()?).map_err(|_| cut())?;
        self.bytes(length)
    }

    fn end(&self) -> Found<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err("its signature is malformed: more follows its end".to_owned())
        }
    }

    /// A positive number without its leading zeros.
    fn magnitude(&mut self) -> Found<&'a [u8]> {
        let bytes = self.string()?;
        if bytes.first().is_some_and(|first| first & 0x80 != 0) {
            return Err("its signature is malformed: a number is negative".to_owned());
        }
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Ok(bytes.get(zeros..).unwrap_or_default())
    }
}

fn write_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(bytes);
}

/// The key that made this signature of `message` for `namespace`; whether it is a trusted one is another question.
pub(super) fn verify(armored: &[u8], namespace: &str, message: &[u8]) -> Found<PublicKey> {
    let bytes = unarmored(armored)?;
    let mut fields = Fields(&bytes);
    if fields.bytes(MAGIC.len())? != MAGIC {
        return Err("its signature is malformed: it is no SSH signature".to_owned());
    }
    let version = fields.number()?;
    if version != 1 {
        return Err(format!("its SSH signature is of version {version}, and only version 1 is known"));
    }
    let key = PublicKey::from_blob(fields.string()?).map_err(|error| format!("it is signed, but {error}"))?;
    let signed_for = fields.string()?;
    if signed_for != namespace.as_bytes() {
        let signed_for = String::from_utf8_lossy(signed_for);
        return Err(format!(
            "it has a signature of {key} that was made for {signed_for:?} and not for {namespace:?}"
        ));
    }
    let _reserved = fields.string()?;
    let hash = fields.string()?;
    let digest = match hash {
        b"sha256" => Sha256::digest(message).to_vec(),
        b"sha512" => Sha512::digest(message).to_vec(),
        other => {
            let other = String::from_utf8_lossy(other);
            return Err(format!("its signature uses the hash {other:?}; sha256 and sha512 are known"));
        }
    };
    let signature = fields.string()?;
    fields.end()?;
    let mut signed = MAGIC.to_vec();
    for field in [namespace.as_bytes(), b"", hash, &digest] {
        write_string(&mut signed, field);
    }
    if is_by(&key, signature, &signed)? {
        Ok(key)
    } else {
        Err(format!("its signature does not verify: {key} did not sign this commit as it is here"))
    }
}

/// The bytes between the lines of the armor, which nothing may follow.
fn unarmored(armored: &[u8]) -> Found<Vec<u8>> {
    let wrong = || "its signature is malformed: it is no armored SSH signature".to_owned();
    if armored.len() > LONGEST {
        return Err(format!("its signature is malformed: it is longer than {LONGEST} bytes"));
    }
    let text = std::str::from_utf8(armored).map_err(|_| wrong())?.trim_end();
    let body = text.strip_prefix(BEGIN).and_then(|text| text.strip_suffix(END)).ok_or_else(wrong)?;
    let body: String = body.split(['\r', '\n']).collect();
    STANDARD.decode(body).map_err(|_| wrong())
}

/// Whether `key` made the signature of `signed`.
fn is_by(key: &PublicKey, signature: &[u8], signed: &[u8]) -> Found<bool> {
    let mut parts = Fields(key.blob());
    parts.string()?;
    let mut signature = Fields(signature);
    let algorithm = signature.string()?;
    let expected: &[&[u8]] = match key.algorithm() {
        // SHA-1 is not among them, as OpenSSH has it.
        "ssh-rsa" => &[b"rsa-sha2-256", b"rsa-sha2-512"],
        other => &[other.as_bytes()],
    };
    if !expected.contains(&algorithm) {
        let algorithm = String::from_utf8_lossy(algorithm);
        return Err(format!("its signature is of type {algorithm:?}, which is none for {key}"));
    }
    match key.algorithm() {
        "ssh-ed25519" => {
            let bytes = signature.string()?;
            signature.end()?;
            Ok(holds(&ED25519, parts.string()?, signed, bytes))
        }
        "ssh-rsa" => {
            let (exponent, modulus) = (parts.magnitude()?, parts.magnitude()?);
            let hash = if algorithm == b"rsa-sha2-256" {
                &RSA_PKCS1_2048_8192_SHA256
            } else {
                &RSA_PKCS1_2048_8192_SHA512
            };
            let bytes = signature.string()?;
            signature.end()?;
            rsa(hash, exponent, modulus, signed, bytes)
        }
        "ecdsa-sha2-nistp256" => {
            parts.string()?;
            let bytes = pair(&mut signature, 32)?;
            signature.end()?;
            Ok(holds(&ECDSA_P256_SHA256_FIXED, parts.string()?, signed, &bytes))
        }
        "ecdsa-sha2-nistp384" => {
            parts.string()?;
            let bytes = pair(&mut signature, 48)?;
            signature.end()?;
            Ok(holds(&ECDSA_P384_SHA384_FIXED, parts.string()?, signed, &bytes))
        }
        "sk-ssh-ed25519@openssh.com" => {
            let (point, application) = (parts.string()?, parts.string()?);
            let bytes = signature.string()?;
            let touched = of_a_token(&mut signature, application, signed)?;
            Ok(holds(&ED25519, point, &touched, bytes))
        }
        "sk-ecdsa-sha2-nistp256@openssh.com" => {
            parts.string()?;
            let (point, application) = (parts.string()?, parts.string()?);
            let bytes = pair(&mut signature, 32)?;
            let touched = of_a_token(&mut signature, application, signed)?;
            Ok(holds(&ECDSA_P256_SHA256_FIXED, point, &touched, &bytes))
        }
        other => Err(format!("keys of type {other:?} cannot be verified here")),
    }
}

fn holds(algorithm: &'static dyn VerificationAlgorithm, key: &[u8], signed: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(algorithm, key).verify(signed, signature).is_ok()
}

/// Signers may leave out leading zeros of an RSA signature.
fn rsa(
    hash: &'static RsaParameters,
    exponent: &[u8],
    modulus: &[u8],
    signed: &[u8],
    bytes: &[u8],
) -> Found<bool> {
    if !(256..=1024).contains(&modulus.len()) {
        let bits = modulus.len() * 8;
        return Err(format!(
            "it is signed by an RSA key of {bits} bits; from 2048 to 8192 are verified here"
        ));
    }
    let mut full = vec![0; modulus.len().saturating_sub(bytes.len())];
    full.extend(bytes);
    Ok(RsaPublicKeyComponents { n: modulus, e: exponent }.verify(hash, signed, &full).is_ok())
}

/// The two numbers of an ECDSA signature, each in so many bytes.
fn pair(signature: &mut Fields<'_>, width: usize) -> Found<Vec<u8>> {
    let mut numbers = Fields(signature.string()?);
    let mut fixed = Vec::with_capacity(2 * width);
    for number in [numbers.magnitude()?, numbers.magnitude()?] {
        let zeros = width.checked_sub(number.len()).ok_or_else(cut)?;
        fixed.extend(std::iter::repeat_n(0, zeros));
        fixed.extend(number);
    }
    numbers.end()?;
    Ok(fixed)
}

/// What a security key signs: its application, what it noted, and the hash of what it was given.
fn of_a_token(signature: &mut Fields<'_>, application: &[u8], signed: &[u8]) -> Found<Vec<u8>> {
    let noted = signature.bytes(5)?;
    signature.end()?;
    Ok([&Sha256::digest(application)[..], noted, &Sha256::digest(signed)[..]].concat())
}
