//! Our configuration, and both sides' SETTINGS (RFC 9113 §6.5).

use super::frame::LAST_STREAM;
use super::{ConnectionError, ErrorCode, Limits, flow};

/// Which end of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We answer.
    Server,
    /// We ask.
    Client,
}

/// How a connection behaves. [`Config::server`] and [`Config::client`] are the defaults.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Which end we are.
    pub role: Role,
    /// Server: streams that the client may have open. Client: streams that we open at most, whatever the server allows.
    pub max_concurrent_streams: u32,
    /// Receive window of each stream in bytes, hence the most that is buffered of a body. At least 65,535.
    pub initial_window: u32,
    /// Receive window of the connection in bytes, hence the most that is buffered of all bodies. At least 65,535, and
    /// several times `initial_window`, or a few slow streams stop all others.
    pub connection_window: u32,
    /// Largest frame payload that we accept, in bytes: 16,384 to 16,777,215.
    pub max_frame_size: u32,
    /// Largest field section that we accept, in bytes as RFC 9113 §6.5.2 counts them.
    pub max_header_list: u32,
    /// Server: accept extended CONNECT (RFC 8441).
    pub enable_connect_protocol: bool,
    /// Bytes of unsent output above which [`super::Connection::send_data`] takes nothing.
    pub output_high_water: usize,
    /// What a peer may make us do for nothing.
    pub limits: Limits,
}

impl Config {
    /// For connections from clients.
    pub fn server() -> Self {
        Self {
            role: Role::Server,
            max_concurrent_streams: 128,
            initial_window: 256 * 1024,
            connection_window: 1024 * 1024,
            max_frame_size: 16_384,
            max_header_list: 64 * 1024,
            enable_connect_protocol: true,
            output_high_water: 64 * 1024,
            limits: Limits::default(),
        }
    }

    /// For connections to origins.
    pub fn client() -> Self {
        Self {
            role: Role::Client,
            enable_connect_protocol: false,
            ..Self::server()
        }
    }

    /// Brings values that the protocol forbids into its range.
    pub(super) fn within_bounds(mut self) -> Self {
        let window = flow::INITIAL..=LAST_STREAM;
        self.initial_window = self.initial_window.clamp(*window.start(), *window.end());
        self.connection_window = self.connection_window.clamp(*window.start(), *window.end());
        self.max_frame_size = self.max_frame_size.clamp(SMALLEST_FRAME, LARGEST_FRAME);
        self
    }

    /// The pairs that our SETTINGS frame carries, as many as the count says.
    pub(super) fn settings(&self) -> Vec<(u16, u32)> {
        let mut settings = Vec::with_capacity(6);
        match self.role {
            Role::Client => settings.push((id::ENABLE_PUSH, 0)),
            Role::Server => {
                settings.push((id::MAX_CONCURRENT_STREAMS, self.max_concurrent_streams))
            }
        }
        settings.push((id::INITIAL_WINDOW_SIZE, self.initial_window));
        if self.max_frame_size != SMALLEST_FRAME {
            settings.push((id::MAX_FRAME_SIZE, self.max_frame_size));
        }
        settings.push((id::MAX_HEADER_LIST_SIZE, self.max_header_list));
        if self.enable_connect_protocol && self.role == Role::Server {
            settings.push((id::ENABLE_CONNECT_PROTOCOL, 1));
        }
        settings
    }
}

const SMALLEST_FRAME: u32 = 16_384;
const LARGEST_FRAME: u32 = 16_777_215;

mod id {
    pub(super) const HEADER_TABLE_SIZE: u16 = 1;
    pub(super) const ENABLE_PUSH: u16 = 2;
    pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(super) const MAX_FRAME_SIZE: u16 = 5;
    pub(super) const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub(super) const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// What the peer's SETTINGS say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) header_table_size: u32,
    pub(super) max_concurrent_streams: u32,
    pub(super) initial_window: u32,
    pub(super) max_frame_size: u32,
    pub(super) connect_protocol: bool,
}

impl Peer {
    /// Before the first SETTINGS. RFC 9113 §6.5.2 has no limit on streams then; we begin with what it recommends.
    pub(super) const fn new() -> Self {
        Self {
            header_table_size: 4096,
            max_concurrent_streams: 100,
            initial_window: flow::INITIAL,
            max_frame_size: SMALLEST_FRAME,
            connect_protocol: false,
        }
    }

    /// Takes one parameter in (RFC 9113 §6.5.2, RFC 8441 §3). `role` is ours.
    pub(super) fn set(&mut self, role: Role, id: u16, value: u32) -> Result<(), ConnectionError> {
        match id {
            id::HEADER_TABLE_SIZE => self.header_table_size = value,
            id::ENABLE_PUSH if value > 1 => {
                return Err(ConnectionError::protocol("ENABLE_PUSH is neither 0 nor 1"));
            }
            id::ENABLE_PUSH if value == 1 && role == Role::Client => {
                return Err(ConnectionError::protocol("a server sent ENABLE_PUSH"));
            }
            id::MAX_CONCURRENT_STREAMS => self.max_concurrent_streams = value,
            id::INITIAL_WINDOW_SIZE if value > LAST_STREAM => {
                let why = "INITIAL_WINDOW_SIZE above 2^31-1";
                return Err(ConnectionError::new(ErrorCode::FLOW_CONTROL_ERROR, why));
            }
            id::INITIAL_WINDOW_SIZE => self.initial_window = value,
            id::MAX_FRAME_SIZE if !(SMALLEST_FRAME..=LARGEST_FRAME).contains(&value) => {
                return Err(ConnectionError::protocol("MAX_FRAME_SIZE out of range"));
            }
            id::MAX_FRAME_SIZE => self.max_frame_size = value,
            id::ENABLE_CONNECT_PROTOCOL if value > 1 || (value == 0 && self.connect_protocol) => {
                return Err(ConnectionError::protocol(
                    "ENABLE_CONNECT_PROTOCOL out of range",
                ));
            }
            id::ENABLE_CONNECT_PROTOCOL => self.connect_protocol = value == 1,
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_refused() {
        for (id, value, code) in [
            (2, 2, ErrorCode::PROTOCOL_ERROR),
            (4, 0x8000_0000, ErrorCode::FLOW_CONTROL_ERROR),
            (5, 16_383, ErrorCode::PROTOCOL_ERROR),
            (5, 16_777_216, ErrorCode::PROTOCOL_ERROR),
            (8, 2, ErrorCode::PROTOCOL_ERROR),
        ] {
            assert_eq!(
                Peer::new().set(Role::Server, id, value).unwrap_err().code,
                code
            );
        }
        let mut peer = Peer::new();
        assert!(peer.set(Role::Client, 2, 1).is_err());
        assert!(peer.set(Role::Server, 2, 1).is_ok());
        assert!(peer.set(Role::Server, 0xfff0, 7).is_ok());
        assert!(peer.set(Role::Client, 8, 1).is_ok());
        assert!(peer.set(Role::Client, 8, 0).is_err());
    }

    #[test]
    fn config_is_kept_in_range() {
        let config = Config {
            initial_window: 1,
            max_frame_size: 1,
            ..Config::server()
        };
        let config = config.within_bounds();
        assert_eq!(
            (config.initial_window, config.max_frame_size),
            (65_535, 16_384)
        );
    }
}
