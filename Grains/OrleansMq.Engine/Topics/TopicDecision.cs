namespace OrleansMq.Topics;

/// <summary>The decision on a request: the result, or the reason for the refusal.</summary>
/// <typeparam name="T">What there is to do or to write.</typeparam>
internal readonly record struct TopicDecision<T>
{
    private readonly T? _next;

    private TopicDecision(ErrorCode error, string? message, T? next)
    {
        Error = error;
        Message = message;
        _next = next;
    }

    /// <summary><see cref="ErrorCode.None"/> if the request was accepted.</summary>
    public ErrorCode Error { get; }

    /// <summary>For a refusal, the field, its value and how to fix it.</summary>
    public string? Message { get; }

    /// <summary>Whether the request was accepted.</summary>
    public bool IsAccepted => Error == ErrorCode.None;

    /// <summary>The result.</summary>
    /// <exception cref="BrokerException">The request was refused.</exception>
    public T Next => IsAccepted ? _next! : throw new BrokerException(Error, Message!);

    /// <summary>Accepts a request.</summary>
    public static TopicDecision<T> Accept(T next) => new(ErrorCode.None, null, next);

    /// <summary>Refuses a request.</summary>
    public static TopicDecision<T> Refuse(ErrorCode error, string message) => new(error, message, default);
}
