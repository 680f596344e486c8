//! Whether somebody takes connections at a port.

use std::time::Instant;

use tokio::net::TcpStream;

use super::{Facts, Fault, Look, Verdict};

/// Opens a connection, and closes it again. Ends when its caller's patience does.
pub async fn look(host: &str, port: u16) -> Look {
    let begun = Instant::now();
    match TcpStream::connect((host, port)).await {
        Ok(_) => {
            let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            Look { verdict: Verdict::Good, facts: Facts::Answer { milliseconds, version: None } }
        }
        Err(error) => Look::failed(Fault::Unreachable, format!("cannot connect to {host}:{port}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_port_is_open_until_it_is_closed() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        assert_eq!(look("127.0.0.1", port).await.verdict, Verdict::Good);
        drop(listener);
        assert_eq!(look("127.0.0.1", port).await.verdict, Verdict::Bad(Fault::Unreachable));
        let Facts::Failure { cause } = look("host.invalid", 80).await.facts else { panic!("there is no such host") };
        assert!(cause.starts_with("cannot connect to host.invalid:80: "), "{cause}");
    }
}
