namespace OrleansMq.Api;

/// <summary>A request to the coordinator of one group. A request whose response has no error is refused by a
/// <see cref="GroupReply"/>.</summary>
public interface IGroupRequest : ICoordinatorRequest
{
    /// <summary>The group.</summary>
    string GroupId { get; }

    /// <summary>The operation on the group that a session must be allowed, to send the request. A request that names none needs
    /// <see cref="AccessOperation.Alter"/>, which no member has.</summary>
    AccessOperation Operation => AccessOperation.Alter;
}

/// <summary>A request to the coordinator of one group.</summary>
/// <typeparam name="TResult">The type of its response.</typeparam>
public interface IGroupRequest<TResult> : IGroupRequest
{
    /// <summary>Converts a response to its type.</summary>
    /// <param name="answer">A <typeparamref name="TResult"/>, or a refusal created by <see cref="ICoordinatorRequest.Refuse"/>.</param>
    /// <exception cref="BrokerException">The request was refused, and its response has no error.</exception>
    sealed TResult Answer(object answer) => answer switch
    {
        TResult result => result,
        GroupReply refusal => throw refusal.ToException(),
        _ => throw new InvalidOperationException(
            $"The answer to {GetType().Name} is a {answer.GetType().Name}; expected a {typeof(TResult).Name}."),
    };

    /// <summary>Refuses this request.</summary>
    /// <param name="error">The error, other than <see cref="ErrorCode.None"/>.</param>
    /// <param name="message">The cause and how to fix it.</param>
    /// <exception cref="BrokerException">The response to this request has no error.</exception>
    sealed TResult Refused(ErrorCode error, string message) => Answer(Refuse(error, message));
}

/// <summary>A response that contains an error code.</summary>
public interface IGroupAnswer
{
    /// <summary>The error of the whole request, or <see cref="ErrorCode.None"/>.</summary>
    ErrorCode Error { get; }
}
