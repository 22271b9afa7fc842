//! Why a map, or a step of it, is not believed.

use std::fmt;

/// A refusal. The former map stays in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapError {
    reason: Reason,
    field: &'static str,
    detail: String,
}

impl MapError {
    pub(crate) fn new(reason: Reason, field: &'static str, detail: impl Into<String>) -> Self {
        Self {
            reason,
            field,
            detail: detail.into(),
        }
    }

    pub(crate) fn malformed(field: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Reason::Malformed, field, detail)
    }

    /// What kind of refusal.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Field at fault, as the contract spells it.
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        self.reason.remedy()
    }
}

impl fmt::Display for MapError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}: {}: {}; {}",
            self.reason,
            self.field,
            self.detail,
            self.remedy()
        )
    }
}

impl std::error::Error for MapError {}

macro_rules! reasons {
    ($($(#[$doc:meta])+ $variant:ident = $text:literal, $remedy:expr;)+) => {
        /// Kinds of refusal. The strings are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])+ $variant,)+ }

        impl Reason {
            /// The stable string.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// What to do about it.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)+ }
            }
        }
    };
}

const FORGED: &str =
    "nothing of this step was applied; if it repeats, check who signs and who serves the map of this cvlan";
const RESYNC: &str = "ask for a full map (position 0)";

reasons! {
    /// The signature does not hold.
    BadSignature = "BAD_SIGNATURE", FORGED;
    /// The keyset has no such key.
    UnknownKey = "UNKNOWN_KEY", FORGED;
    /// The key may not sign this kind of record.
    WrongRole = "WRONG_ROLE", FORGED;
    /// The key is not valid at this time.
    KeyNotValid = "KEY_NOT_VALID", "check the clocks of this machine and of the controller, or delegate a fresh key";
    /// Of another tenant.
    WrongTenant = "WRONG_TENANT", FORGED;
    /// Of another cvlan.
    WrongCvlan = "WRONG_CVLAN", FORGED;
    /// The head is of an earlier epoch than one seen.
    OldEpoch = "OLD_EPOCH", "after a restore from backup raise the epoch of the cvlan";
    /// The head is older than one seen.
    OldRevision = "OLD_REVISION", "resume from the position in the engine's status";
    /// The step does not continue from here.
    Gap = "GAP", RESYNC;
    /// The keyset is older than one seen, or older than the head demands.
    OldKeyset = "OLD_KEYSET", "send the newest keyset with the step";
    /// The root keys have a gap, or do not lead on from the one that is pinned.
    RootGap = "ROOT_GAP", FORGED;
    /// A record is older than one seen.
    OldRecord = "OLD_RECORD", FORGED;
    /// The last frame has no head.
    NoHead = "NO_HEAD", RESYNC;
    /// The head is not that of the step.
    HeadMismatch = "HEAD_MISMATCH", RESYNC;
    /// The head was issued more than five minutes from now.
    HeadInFuture = "HEAD_IN_FUTURE", "set the clock of this machine or of the controller";
    /// A field is not what the contract says.
    Malformed = "MALFORMED", FORGED;
    /// The step lacks its end.
    Truncated = "TRUNCATED", RESYNC;
    /// More than a limit allows.
    TooMany = "TOO_MANY", "split the cvlan or narrow its policy";
    /// Two nodes have one address.
    DuplicateAddress = "DUPLICATE_ADDRESS", "remove one of the nodes";
    /// Two nodes have one WireGuard key.
    DuplicateKey = "DUPLICATE_KEY", "remove one of the nodes";
    /// The own record names another WireGuard key than this engine's.
    OwnKeyMismatch = "OWN_KEY_MISMATCH", "join again: the record of this node was made for other keys";
    /// No membership is set.
    NoMembership = "NO_MEMBERSHIP", "apply settings with a membership first";
    /// Another membership is set already.
    MembershipConflict = "MEMBERSHIP_CONFLICT", "use a new state directory for another membership";
    /// The file on disk is garbled or cut short.
    Damaged = "DAMAGED", "the engine goes on with what it can still verify and needs one full map from the controller";
    /// The disk does not take the new state.
    Storage = "STORAGE", "free space in the state directory and check its permissions";
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
