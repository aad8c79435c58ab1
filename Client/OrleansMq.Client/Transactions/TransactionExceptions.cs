namespace OrleansMq.Client;

/// <summary>A transaction has failed: nothing of it is committed, unless the type says otherwise. Abort it and begin another.</summary>
/// <param name="code">The error.</param>
/// <param name="transactionalId">The transactional id.</param>
/// <param name="message">The cause and what to do.</param>
/// <param name="inner">The cause; null for none.</param>
public class TransactionException(ErrorCode code, string transactionalId, string message, Exception? inner = null)
    : OrleansMqException(code, $"Transaction of '{transactionalId}': {message}", inner)
{
    /// <summary>The transactional id.</summary>
    public string TransactionalId { get; } = transactionalId;
}

/// <summary>Another instance has taken over the transactional id, or the broker has forgotten it. The producer can do nothing more: dispose
/// it.</summary>
/// <param name="code">The error.</param>
/// <param name="transactionalId">The transactional id.</param>
/// <param name="message">Who fenced this instance, when and why.</param>
public sealed class ProducerFencedException(ErrorCode code, string transactionalId, string message)
    : TransactionException(code, transactionalId, message);

/// <summary>The transaction may be committed or not: no broker confirmed it. Call <see cref="ITransaction{TKey, TValue}.CommitAsync"/>
/// again to learn the outcome.</summary>
/// <param name="code">The last error.</param>
/// <param name="transactionalId">The transactional id.</param>
/// <param name="message">The cause and what to do.</param>
/// <param name="inner">The cause; null for none.</param>
public sealed class TransactionOutcomeUnknownException(ErrorCode code, string transactionalId, string message, Exception? inner = null)
    : TransactionException(code, transactionalId, message, inner);
