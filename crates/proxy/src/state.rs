//! What outlives a snapshot: members of pools, metrics slots, ticket keys. Keyed by stable names, so that a swap finds it again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::server::ProducesTickets;
use seawall_net::outward::Outward;
use seawall_net::tls::config::{MaterialFault, ticketer};
use seawall_telemetry::Registry;

use crate::origin::Members;

/// What outlives a snapshot.
pub struct State {
    /// Members of pools.
    pub members: Members,
    /// Metrics.
    pub registry: Arc<Registry>,
    tickets: Mutex<HashMap<Box<str>, Arc<dyn ProducesTickets>>>,
    own_listeners: Mutex<Vec<std::net::SocketAddr>>,
    https_port: OnceLock<u16>,
}

impl State {
    /// Nothing is known yet.
    pub fn new(registry: Arc<Registry>) -> Self {
        Self {
            members: Members::new(),
            registry,
            tickets: Mutex::default(),
            own_listeners: Mutex::default(),
            https_port: OnceLock::new(),
        }
    }

    /// The ticket keys of a zone.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn tickets(&self, zone: &str) -> Result<Arc<dyn ProducesTickets>, MaterialFault> {
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tickets.get(zone) {
            return Ok(known.clone());
        }
        let made = ticketer()?;
        tickets.insert(zone.into(), made.clone());
        Ok(made)
    }

    /// Our own listeners, which no origin may be.
    pub fn set_own_listeners(&self, listeners: Vec<std::net::SocketAddr>) {
        *self
            .own_listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = listeners;
    }

    /// The port of the first HTTPS listener, for redirects to it. The first one said holds.
    pub fn set_https_port(&self, port: u16) {
        let _ = self.https_port.set(port);
    }

    /// The port of the first HTTPS listener.
    pub fn https_port(&self) -> Option<u16> {
        self.https_port.get().copied()
    }

    /// An address policy that knows our own listeners.
    pub fn outward(&self, public: bool, private: bool, loopback: bool) -> Arc<Outward> {
        let outward = Outward::new(public, private, loopback);
        outward.set_own(
            self.own_listeners
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        );
        Arc::new(outward)
    }
}
