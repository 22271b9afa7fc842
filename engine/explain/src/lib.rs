//! What would happen to a packet, by the very code that judges packets.

mod evaluate;
mod explain;
mod packet;
mod side;

pub use evaluate::{MAX_DESTINATIONS, MAX_PACKETS, evaluate};
pub use explain::{PathState, Records, View, explain};

/// A question that cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct QuestionError {
    /// Field of the request.
    pub field: String,
    /// What is wrong with it and what would be right.
    pub problem: String,
}

impl QuestionError {
    fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }
}
