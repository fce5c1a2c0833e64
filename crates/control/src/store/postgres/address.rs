//! Where the database is, as `postgres://USER:PASSWORD@HOST:PORT/DATABASE?…`, and how it is spoken to.
//!
//! The keys behind `?` are libpq's, as far as the client knows them
//! (<https://www.postgresql.org/docs/current/libpq-connect.html>), and `sslrootcert`. Several hosts are separated by commas, with
//! `target_session_attrs=read-write` to find the one that is the primary.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::tls::Tls;

/// How long one host may take to accept a connection.
const CONNECTS: Duration = Duration::from_secs(3);
/// How long sent bytes may go without an answer of the other machine.
const UNHEARD: Duration = Duration::from_secs(10);

/// An address that was understood.
#[derive(Clone)]
pub(super) struct Address {
    pub config: Config,
    pub tls: Tls,
    shown: PathBuf,
}

impl Address {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it, without its password.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let is_ours = ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| url.starts_with(scheme));
        if !is_ours {
            return Err("a database is named as postgres://USER@HOST/DATABASE".into());
        }
        let (url, roots) = without(url, "sslrootcert");
        let says_mode = url.contains("sslmode=");
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            // The error names a key or a value, never the address.
            format!(
                "the address of the database cannot be read: {}",
                whole(&error)
            )
        })?;
        if config.get_hosts().is_empty() {
            return Err("the address of the database names no host".into());
        }
        if config.get_user().is_none() {
            return Err("the address of the database names no user".into());
        }
        if !says_mode {
            // Beyond this machine, passwords and documents travel encrypted, to who proves to be the database.
            let is_near = config.get_hosts().iter().all(is_near);
            config.ssl_mode(if is_near {
                SslMode::Disable
            } else {
                SslMode::Require
            });
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECTS);
        }
        config
            .tcp_user_timeout(UNHEARD)
            .keepalives_idle(UNHEARD)
            .keepalives_interval(CONNECTS)
            .keepalives_retries(3);
        if config.get_application_name().is_none() {
            config.application_name(format!("seawall control, pid {}", std::process::id()));
        }
        Ok(Self {
            tls: Tls::new(roots.as_deref())?,
            shown: shown(&config).into(),
            config,
        })
    }

    /// Its name where people see it: without the password.
    pub(super) fn shown(&self) -> &PathBuf {
        &self.shown
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown.fmt(f)
    }
}

/// Whether an address carries a password: then it is nothing for a command line, which everybody on the machine can read.
pub fn has_password(url: &str) -> bool {
    let config = without(url, "sslrootcert").0.parse::<Config>();
    // What cannot be read may be a password that is not spelt well.
    config.map_or_else(
        |_| url.contains('@') || url.contains("password"),
        |config| config.get_password().is_some(),
    )
}

/// An error with what lies behind it.
pub(super) fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}

/// A URL without one key of its query, and that key's value.
fn without(url: &str, key: &str) -> (String, Option<PathBuf>) {
    let Some((front, query)) = url.split_once('?') else {
        return (url.to_owned(), None);
    };
    let mut value = None;
    let rest: Vec<&str> = query
        .split('&')
        .filter(|pair| match pair.split_once('=') {
            Some((name, path)) if name == key => {
                value = Some(PathBuf::from(path));
                false
            }
            _ => true,
        })
        .collect();
    let query = rest.join("&");
    let url = if query.is_empty() {
        front.to_owned()
    } else {
        format!("{front}?{query}")
    };
    (url, value)
}

fn is_near(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) if name == "localhost" => true,
        Host::Tcp(name) => name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
    }
}

fn shown(config: &Config) -> String {
    let ports = config.get_ports();
    let port = |nth: usize| ports.get(nth).or(ports.first()).copied().unwrap_or(5432);
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .enumerate()
        .map(|(nth, host)| match host {
            Host::Tcp(name) => format!("{name}:{}", port(nth)),
            Host::Unix(path) => path.display().to_string(),
        })
        .collect();
    let user = config.get_user().unwrap_or_default();
    format!(
        "postgres://{user}@{}/{}",
        hosts.join(","),
        config.get_dbname().unwrap_or(user)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_ever_shown() {
        let address = Address::parse("postgres://ada:s3cret@db.test,db2.test:5433/edge").unwrap();
        assert_eq!(
            address.shown().to_str(),
            Some("postgres://ada@db.test:5432,db2.test:5433/edge")
        );
        assert!(!format!("{address:?}").contains("s3cret"));
        for bad in [
            "postgres://ada:s3cret@db.test/edge?no_such_key=1",
            "postgres://ada:s3cret@db.test:port/edge",
            "postgres://ada:s3cret@db.test/edge?sslrootcert=/nowhere/ca.pem",
        ] {
            let error = Address::parse(bad).unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn beyond_this_machine_it_is_tls_unless_somebody_says_otherwise() {
        for (url, mode) in [
            ("postgres://ada@db.test/edge", SslMode::Require),
            ("postgres://ada@192.0.2.1/edge", SslMode::Require),
            ("postgres://ada@127.0.0.1/edge", SslMode::Disable),
            ("postgres://ada@[::1]/edge", SslMode::Disable),
            ("postgres://ada@%2Frun%2Fpostgresql/edge", SslMode::Disable),
            ("postgres://ada@localhost,db.test/edge", SslMode::Require),
            (
                "postgres://ada@db.test/edge?sslmode=disable",
                SslMode::Disable,
            ),
            (
                "postgres://ada@localhost/edge?sslmode=require",
                SslMode::Require,
            ),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!(address.config.get_ssl_mode(), mode, "{url}");
        }
    }

    #[test]
    fn a_password_is_found_where_it_may_be() {
        for (url, has) in [
            ("postgres://ada@db.test/edge", false),
            ("postgres://ada@db.test/edge?sslrootcert=/ca.pem", false),
            ("postgres://ada:x@db.test/edge?sslrootcert=/ca.pem", true),
            ("postgres://ada:x@db.test/edge", true),
            ("postgres://ada@db.test/edge?password=x", true),
            ("postgres://ada:x@db.test:port/edge", true),
        ] {
            assert_eq!(has_password(url), has, "{url}");
        }
    }

    #[test]
    fn what_is_no_address_says_how_one_looks() {
        for bad in ["", "mysql://a@b/c", "/var/lib/x.db", "postgres://"] {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
    }
}
