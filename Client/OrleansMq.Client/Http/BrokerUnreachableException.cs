namespace OrleansMq.Client.Http;

/// <summary>
/// No broker answered: nothing listens there, the connection broke, or the answer did not come in time. The message names the address.
/// <see cref="BrokerException.Code"/> is <see cref="ErrorCode.LeaderNotAvailable"/> where the request was certainly not done, and
/// <see cref="ErrorCode.RequestTimedOut"/> where that is unknown; both may be retried.
/// </summary>
public sealed class BrokerUnreachableException(ErrorCode code, string message, Exception? inner = null)
    : BrokerException(code, message, inner);
