namespace OrleansMq.Api;

/// <summary>A request to the coordinator of one transactional id. A request whose response has no error is refused by a
/// <see cref="TransactionReply"/>.</summary>
public interface ITransactionRequest : ICoordinatorRequest
{
    /// <summary>The transactional id.</summary>
    string TransactionalId { get; }

    /// <summary>The operation on the transactional id that a session must be allowed, to send the request.</summary>
    AccessOperation Operation => AccessOperation.Write;
}

/// <summary>A request to the coordinator of one transactional id.</summary>
/// <typeparam name="TResult">The type of its response.</typeparam>
public interface ITransactionRequest<TResult> : ITransactionRequest
{
    /// <summary>Converts a response to its type.</summary>
    /// <param name="answer">A <typeparamref name="TResult"/>, or a refusal created by <see cref="ICoordinatorRequest.Refuse"/>.</param>
    /// <exception cref="BrokerException">The request was refused, and its response has no error.</exception>
    sealed TResult Answer(object answer) => answer switch
    {
        TResult result => result,
        TransactionReply refusal => throw new BrokerException(refusal.Error, refusal.Message),
        _ => throw new InvalidOperationException(
            $"The answer to {GetType().Name} is a {answer.GetType().Name}; expected a {typeof(TResult).Name}."),
    };
}

/// <summary>A response to a request of a transaction that contains an error code.</summary>
public interface ITransactionAnswer
{
    /// <summary>The error of the whole request, or <see cref="ErrorCode.None"/>.</summary>
    ErrorCode Error { get; }

    /// <summary>On an error, the cause and how to fix it; null if there is nothing to add to the code.</summary>
    string? Message { get; }
}

/// <summary>The refusal of a request whose response has no error.</summary>
/// <param name="Error">Why.</param>
/// <param name="Message">The cause and how to fix it.</param>
public readonly record struct TransactionReply(ErrorCode Error, string Message) : ITransactionAnswer;
