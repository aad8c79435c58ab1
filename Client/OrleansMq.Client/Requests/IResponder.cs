namespace OrleansMq.Client;

/// <summary>
/// Answers requests, wherever they are consumed: in a message handler, a consumer of a queue, or a grain. Thread-safe: one serves a whole
/// process. Settle the request when <see cref="AnswerAsync"/> has returned; the reply is then acknowledged, or nobody waits for it.
/// <code>
/// await queue.RunAsync(async (message, stopping) =>
///     await responder.AnswerAsync(message.Headers, _ => FindPriceAsync(message.Value), stopping), concurrency: 8, stoppingToken);
/// </code>
/// </summary>
/// <typeparam name="TReply">The type of replies.</typeparam>
public interface IResponder<TReply> : IAsyncDisposable
{
    /// <summary>
    /// Handles a request, unless it is past its deadline, and sends the reply. Where the handler throws, the reply is the error. A record
    /// that asks for no reply is handled too; the handler's exceptions then pass through.
    /// </summary>
    /// <param name="request">The headers of the request.</param>
    /// <param name="handle">Handles the request. It is called by the caller's scheduler, as a grain needs. Its token is cancelled at the
    /// deadline, and by <paramref name="cancellationToken"/>.</param>
    /// <param name="cancellationToken">Ends it; the request is then not answered, and must not be settled.</param>
    /// <exception cref="ProduceException">The reply may succeed later: let the request come again.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled before the reply was acknowledged.</exception>
    ValueTask<RequestOutcome> AnswerAsync(IReadOnlyList<RecordHeader> request, Func<CancellationToken, ValueTask<TReply>> handle,
        CancellationToken cancellationToken = default);

    /// <summary>Counters since the responder was created.</summary>
    ResponderStatistics Statistics { get; }
}

/// <summary>What became of a request.</summary>
public enum RequestOutcome
{
    /// <summary>The reply is acknowledged.</summary>
    Answered = 0,
    /// <summary>The handler threw, or its reply could not be sent; the error is acknowledged as the reply.</summary>
    Failed = 1,
    /// <summary>The deadline had passed. The handler was not called.</summary>
    Expired = 2,
    /// <summary>The deadline passed before the reply was acknowledged.</summary>
    Late = 3,
    /// <summary>The request was handled, and its reply topic refuses the reply for good: it does not exist, is forbidden, or takes no such
    /// record.</summary>
    Unanswered = 4,
    /// <summary>The record asks for no reply, and was handled.</summary>
    NotAsked = 5,
}

/// <summary>A responder's counters, by outcome.</summary>
/// <param name="Answered">Requests whose reply is acknowledged.</param>
/// <param name="Failed">Requests that were answered with an error.</param>
/// <param name="Expired">Requests that were dropped unhandled, past their deadline.</param>
/// <param name="Late">Requests that were handled, and not answered in time.</param>
/// <param name="Unanswered">Requests whose reply topic refused the reply.</param>
public readonly record struct ResponderStatistics(long Answered, long Failed, long Expired, long Late, long Unanswered);
