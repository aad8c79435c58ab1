namespace OrleansMq.Topics;

/// <summary>What was decided about a request: what comes next, or why not.</summary>
/// <typeparam name="T">What there is to do or to write.</typeparam>
public readonly record struct TopicDecision<T>
{
    private readonly T? _next;

    private TopicDecision(ErrorCode error, string? message, T? next)
    {
        Error = error;
        Message = message;
        _next = next;
    }

    /// <summary><see cref="ErrorCode.None"/> where the request was accepted.</summary>
    public ErrorCode Error { get; }

    /// <summary>Of a refusal: the field, its value, and the fix.</summary>
    public string? Message { get; }

    /// <summary>Whether the request was accepted.</summary>
    public bool IsAccepted => Error == ErrorCode.None;

    /// <summary>What comes next.</summary>
    /// <exception cref="BrokerException">The request was refused.</exception>
    public T Next => IsAccepted ? _next! : throw new BrokerException(Error, Message!);

    /// <summary>The request is granted.</summary>
    public static TopicDecision<T> Accept(T next) => new(ErrorCode.None, null, next);

    /// <summary>The request is not granted.</summary>
    public static TopicDecision<T> Refuse(ErrorCode error, string message) => new(error, message, default);
}
