namespace OrleansMq.Client;

/// <summary>
/// No broker answered: the connection was refused or lost, or the response timed out. The message names the address.
/// <see cref="OrleansMqException.Code"/> is <see cref="ErrorCode.LeaderNotAvailable"/> if the request was certainly not executed, and
/// <see cref="ErrorCode.RequestTimedOut"/> if that is unknown. Both may be retried.
/// </summary>
public sealed class BrokerUnreachableException(ErrorCode code, string message, Exception? inner = null)
    : BrokerException(code, message, inner);
