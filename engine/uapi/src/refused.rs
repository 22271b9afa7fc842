//! What is wrong with a request, as the numbers that the protocol answers with.

/// Why a request was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A line is no `key=value`, or too long, or the request is too long.
    #[error("the request is not of the protocol's form")]
    Protocol,
    /// A key that is not known, or a value that it cannot have.
    #[error("a line has a key or a value that is not known")]
    Invalid,
    /// The port is taken.
    #[error("the port is taken")]
    PortInUse,
    /// More peers or allowed IPs than are kept.
    #[error("there would be too many peers or allowed IPs")]
    TooMany,
    /// What was asked for may not be done through this socket.
    #[error("this socket only tells, it does not set")]
    ReadOnly,
    /// The system refused.
    #[error("the system refused")]
    System,
}

impl Refused {
    /// The number behind `errno=`: negative, as wireguard-go answers and as `wg` expects it (errno(3) of Linux).
    #[must_use]
    pub fn errno(self) -> i32 {
        match self {
            Self::ReadOnly => -1,
            Self::System => -5,
            Self::Invalid => -22,
            Self::TooMany => -28,
            Self::Protocol => -71,
            Self::PortInUse => -98,
        }
    }

    /// The whole answer to a request that changed something or nothing.
    #[must_use]
    pub fn answer(result: Result<(), Self>) -> String {
        format!("errno={}\n\n", result.err().map_or(0, Self::errno))
    }
}
