namespace OrleansMq.Client;

/// <summary>Why a request has no reply.</summary>
public enum RequestFailure
{
    /// <summary>The responder could not handle the request. It may have had effects.</summary>
    Handler = 0,
    /// <summary>The reply came, and cannot be deserialized.</summary>
    Reply = 1,
    /// <summary>The reply topic cannot be read, or was deleted: a reply may have been missed.</summary>
    Replies = 2,
}

/// <summary>A request failed before its deadline. Whether to send it again depends on its effects: it may have been handled.</summary>
/// <remarks>Its code is <see cref="ErrorCode.UnknownServerError"/> for <see cref="RequestFailure.Handler"/>,
/// <see cref="ErrorCode.InvalidRecord"/> for <see cref="RequestFailure.Reply"/> and <see cref="ErrorCode.UnknownTopicOrPartition"/> for
/// <see cref="RequestFailure.Replies"/>.</remarks>
public sealed class RequestFailedException : OrleansMqException
{
    /// <summary>Creates a failure.</summary>
    public RequestFailedException(RequestFailure failure, string message, string? errorType = null, Exception? inner = null)
        : base(CodeOf(failure), message, inner) => (Failure, ErrorType) = (failure, errorType);

    /// <summary>Why.</summary>
    public RequestFailure Failure { get; }

    /// <summary>The type of the responder's exception, as it named it; null if there was none.</summary>
    public string? ErrorType { get; }

    private static ErrorCode CodeOf(RequestFailure failure) => failure switch
    {
        RequestFailure.Reply => ErrorCode.InvalidRecord,
        RequestFailure.Replies => ErrorCode.UnknownTopicOrPartition,
        _ => ErrorCode.UnknownServerError,
    };
}
