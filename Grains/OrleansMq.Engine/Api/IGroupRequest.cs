namespace OrleansMq.Api;

/// <summary>A request to the coordinator of one group. Every layer between the caller and the coordinator forwards it unread.</summary>
public interface IGroupRequest
{
    /// <summary>The group.</summary>
    string GroupId { get; }

    /// <summary>Whether the answer waits for other members, possibly for minutes. Over grains the caller then asks for it in calls of a few
    /// seconds.</summary>
    bool WaitsForMembers => false;

    /// <summary>Makes the answer that refuses this request: its own type of answer, with the error in it. A request whose answers carry no
    /// error makes a <see cref="GroupReply"/>, which the caller gets as a <see cref="BrokerException"/>.</summary>
    /// <param name="error">Not <see cref="ErrorCode.None"/>.</param>
    /// <param name="message">The cause, and the fix.</param>
    object Refuse(ErrorCode error, string message);
}

/// <summary>A request to the coordinator of one group.</summary>
/// <typeparam name="TResult">The type of its answer.</typeparam>
public interface IGroupRequest<TResult> : IGroupRequest
{
    /// <summary>Gives an answer its type.</summary>
    /// <param name="answer">A <typeparamref name="TResult"/>, or a refusal made by <see cref="IGroupRequest.Refuse"/>.</param>
    /// <exception cref="BrokerException">The request is refused, and its answers carry no error.</exception>
    sealed TResult Answer(object answer) => answer switch
    {
        TResult result => result,
        GroupReply refusal => throw refusal.ToException(),
        _ => throw new InvalidOperationException(
            $"The answer to {GetType().Name} is a {answer.GetType().Name}; expected a {typeof(TResult).Name}."),
    };

    /// <summary>Refuses this request.</summary>
    /// <param name="error">Not <see cref="ErrorCode.None"/>.</param>
    /// <param name="message">The cause, and the fix.</param>
    /// <exception cref="BrokerException">Answers to this request carry no error.</exception>
    sealed TResult Refused(ErrorCode error, string message) => Answer(Refuse(error, message));
}

/// <summary>An answer that carries an error.</summary>
public interface IGroupAnswer
{
    /// <summary>The error of the whole request; <see cref="ErrorCode.None"/> where there is none.</summary>
    ErrorCode Error { get; }
}
