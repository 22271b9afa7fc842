//! Sockets, TUN and wakeups.
