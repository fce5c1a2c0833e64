//! Why a drill says nothing.

/// The bed could not be set up, or the fault not be injected: nothing was shown, and nothing is claimed.
#[derive(Debug, thiserror::Error)]
pub enum Void {
    /// This machine cannot carry the bed.
    #[error("this machine is too small: {0}")]
    TooSmall(String),
    /// The bed did not come up.
    #[error("the bed did not come up: {0}")]
    Bed(String),
    /// The fault is not there.
    #[error("the fault was not injected: {0}")]
    NotInjected(String),
    /// Something of the system failed.
    #[error("{0}: {1}")]
    System(String, #[source] std::io::Error),
}

impl Void {
    /// Something of the system failed while this was done.
    pub fn at(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::System(what, error)
    }
}
