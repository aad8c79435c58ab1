namespace OrleansMq.Client;

/// <summary>
/// Sends requests and waits for their replies. Thread-safe: one serves a whole process. A request is a record of the request topic, which
/// any group, queue or grain handles; the reply comes by a partition of the reply topic, which the requester reads from its end on. The end
/// is known before the first request is sent, so no reply is missed, also when brokers fail.
/// <para>A request may be handled more than once. The first reply counts; later ones, and those after the deadline, are ignored.</para>
/// </summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TRequest">The type of requests.</typeparam>
/// <typeparam name="TReply">The type of replies.</typeparam>
public interface IRequester<TKey, TRequest, TReply> : IAsyncDisposable
{
    /// <summary>Sends a request and completes with its reply.</summary>
    /// <param name="key">The request's key, which chooses its partition; requests of one key stay in order.</param>
    /// <param name="request">The request.</param>
    /// <param name="timeout">How long to wait, above zero and at most a day; null for <see cref="RequesterOptions.Timeout"/>. The deadline
    /// travels with the request, and responders drop a request that is past it.</param>
    /// <param name="cancellationToken">Ends the wait; the request may be handled nevertheless.</param>
    /// <exception cref="TimeoutException">No reply came in time. The request may have been handled.</exception>
    /// <exception cref="RequestFailedException">The responder failed, or the reply cannot be read.</exception>
    /// <exception cref="ProduceException">The request could not be sent.</exception>
    /// <exception cref="ObjectDisposedException">The requester was disposed, before or while the request waited.</exception>
    Task<TReply> RequestAsync(TKey key, TRequest request, TimeSpan? timeout = null, CancellationToken cancellationToken = default);

    /// <summary>Counters since the requester was created.</summary>
    RequesterStatistics Statistics { get; }
}

/// <summary>A requester's counters.</summary>
/// <param name="Answered">Requests whose reply came in time, failures of the responder included.</param>
/// <param name="TimedOut">Requests without a reply in time.</param>
/// <param name="Ignored">Replies to requests of this requester that wait no more: late ones, and second ones.</param>
/// <param name="Waiting">Requests that wait now.</param>
public readonly record struct RequesterStatistics(long Answered, long TimedOut, long Ignored, int Waiting);
