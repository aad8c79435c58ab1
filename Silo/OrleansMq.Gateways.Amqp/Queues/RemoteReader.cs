using OrleansMq.Diagnostics;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// A reader of a queue in the memory of another broker. Settlements collect while some are on their way, and follow together.
/// <para>
/// Failures: a question without an answer is asked again, which does no harm (<see cref="HomeReaders"/>). Where there is none for longer,
/// the reader is given up: it ends, as soon as the home answers, and what it held returns to the queue; another one is attached. A home
/// whose broker has ended has no queues any more.
/// </para>
/// </summary>
/// <param name="homes">The way to the home.</param>
/// <param name="home">The home.</param>
/// <param name="target">The queue.</param>
/// <param name="priority">Readers with a higher one receive first.</param>
/// <param name="time">The clock.</param>
/// <param name="log">The log.</param>
internal sealed class RemoteReader(QueueHomes homes, QueueHome home, HomeTarget target, int priority, TimeProvider time, EngineLog log)
    : IQueueReader
{
    // The most that one question settles.
    private const int MaxSettlements = 1000;

    // Questions have ten seconds.
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(6);
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LastAnswers = TimeSpan.FromSeconds(5);

    private readonly Lock _lock = new();
    private List<(Session Session, long Delivery, Settlement Settlement)> _waiting = [];
    private TaskCompletionSource _round = NewRound();
    private Task _settling = Task.CompletedTask;
    private bool _isSettling;
    private Session _session = new(0) { IsBroken = true };

    /// <summary>Attaches it.</summary>
    /// <exception cref="QueueGoneException">The queue is deleted.</exception>
    /// <exception cref="BrokerException">There is no answer.</exception>
    public async Task AttachAsync()
    {
        var session = new Session(VirtualHostOwner.NewId());
        var answer = await homes.AskReaderAsync(home, ReaderFrames.Attach(session.Id, homes.OriginOf(target, priority)))
            .ConfigureAwait(false);
        if (answer is { Span: [1] })
        {
            _session = session;
            return;
        }
        // It may be attached.
        _ = homes.EndReaderAsync(home, session.Id);
        throw answer is { Span: [0] } ? new QueueGoneException() : NoAnswer();
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<HeldMessage>> ReceiveAsync(int max, TimeSpan maxWait, CancellationToken cancellationToken)
    {
        var began = time.GetTimestamp();
        while (true)
        {
            try
            {
                if (_session.IsBroken)
                    await AttachAnewAsync().ConfigureAwait(false);
                var wait = maxWait < LongestWait ? maxWait : LongestWait;
                if (await TryReceiveAsync(max, wait, cancellationToken).ConfigureAwait(false) is { } received)
                    return received;
            }
            catch (BrokerException fault) when (fault.Action == ErrorAction.Retry)
            {
                // The home did not answer.
            }
            if (maxWait > TimeSpan.Zero)
            {
                await Task.Delay(RetryPause, time, cancellationToken).ConfigureAwait(false);
                return [];
            }
            // Nothing is an answer only where the home gave it.
            if (time.GetElapsedTime(began) >= LogQueue.Patience)
                throw NoAnswer();
            await Task.Delay(RetryPause, time, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public Task SettleAsync(MessageHold hold, Settlement settlement, TimeSpan delay = default)
    {
        var held = (RemoteHold)hold;
        lock (_lock)
        {
            _waiting.Add((held.Session, held.Delivery, settlement));
            if (!_isSettling)
            {
                _isSettling = true;
                _settling = Task.Run(SettleWaitingAsync);
            }
            return _round.Task;
        }
    }

    /// <inheritdoc/>
    public async Task YieldAsync()
    {
        var session = _session;
        try
        {
            // Without an answer it keeps its turn until it ends.
            if (!session.IsBroken)
                await AskAgainAsync(ReaderFrames.Of(ReaderFrames.YieldKind, session.Id)).ConfigureAwait(false);
        }
        catch (QueueGoneException)
        {
            // So has its turn.
        }
    }

    /// <inheritdoc/>
    public async ValueTask<AmqpMessage?> ReadAsync(MessageHold hold)
    {
        var held = (RemoteHold)hold;
        try
        {
            var answer = await homes.AskReaderAsync(home, ReaderFrames.Of(ReaderFrames.ReadKind, held.Session.Id, held.Delivery))
                .ConfigureAwait(false) ?? throw NoAnswer();
            return answer.Span is [1, ..] ? ReaderFrames.ReadMessages(answer)[0].Held.Message : null;
        }
        catch (QueueGoneException)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        Task settling;
        lock (_lock)
            settling = _settling;
        // What is not in force yet follows, or the message comes again.
        await settling.WaitAsync(LastAnswers, time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await EndSessionAsync().ConfigureAwait(false);
    }

    private static TaskCompletionSource NewRound() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private BrokerException NoAnswer() => new(ErrorCode.RequestTimedOut,
        $"The broker that has queue '{target.Queue}' in memory did not answer. Retry; the queue ends with its broker.");

    // The settlements of the client come first, where the home takes them.
    private async Task AttachAnewAsync()
    {
        Task settling;
        lock (_lock)
            settling = _settling;
        await Task.WhenAny(settling, Task.Delay(LastAnswers, time)).ConfigureAwait(false);
        await EndSessionAsync().ConfigureAwait(false);
        await AttachAsync().ConfigureAwait(false);
    }

    // It goes on until the home answers.
    private async Task EndSessionAsync()
    {
        if (_session.Id == 0)
            return;
        await homes.EndReaderAsync(home, _session.Id).WaitAsync(LastAnswers, time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _session = new Session(0) { IsBroken = true };
    }

    // Null: whether the queue has some is not known.
    private async Task<IReadOnlyList<HeldMessage>?> TryReceiveAsync(int max, TimeSpan maxWait, CancellationToken cancellationToken)
    {
        var session = _session;
        var call = ++session.Calls;
        var answer = await AskToReceiveAsync(session, ReaderFrames.Receive(session.Id, call, max, maxWait), call, cancellationToken)
            .ConfigureAwait(false);
        if (answer is null && !cancellationToken.IsCancellationRequested)
            answer = await AskToReceiveAsync(session, ReaderFrames.Receive(session.Id, call, max, TimeSpan.Zero), call, cancellationToken)
                .ConfigureAwait(false);
        switch (answer)
        {
            case { Span: [1, ..] } messages:
                return [.. ReaderFrames.ReadMessages(messages).Select(one => one.Held with
                {
                    Hold = new RemoteHold(one.Held.Hold.Position, one.Held.Hold.Failures, session, one.Delivery),
                })];
            case { Span: [0] }:
                throw new QueueGoneException();
            default:
                session.IsBroken = true;
                return null;
        }
    }

    // What is cancelled is to be answered at once: what the answer has then goes back to its place soon.
    private async Task<ReadOnlyMemory<byte>?> AskToReceiveAsync(Session session, ReadOnlyMemory<byte> question, long call,
        CancellationToken cancellationToken)
    {
        var asking = homes.AskReaderAsync(home, question);
        try
        {
            return await asking.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            _ = homes.AskReaderAsync(home, ReaderFrames.Of(ReaderFrames.StopKind, session.Id, call));
            try
            {
                return await asking.WaitAsync(LastAnswers, time, CancellationToken.None).ConfigureAwait(false);
            }
            catch (TimeoutException)
            {
                return null;
            }
        }
    }

    private async Task SettleWaitingAsync()
    {
        do
        {
            List<(Session Session, long Delivery, Settlement Settlement)> taken;
            TaskCompletionSource round;
            lock (_lock)
            {
                (taken, _waiting) = (_waiting, []);
                (round, _round) = (_round, NewRound());
            }
            Exception? fault = null;
            foreach (var group in taken.GroupBy(static item => item.Session))
            {
                foreach (var part in group.Select(static item => (item.Delivery, item.Settlement)).Chunk(MaxSettlements))
                    fault = await TrySettleAsync(group.Key, part).ConfigureAwait(false) ?? fault;
            }
            if (fault is null)
                round.SetResult();
            else
            {
                round.SetException(fault);
                _ = round.Task.Exception; // Observed: few callers wait.
            }
        }
        while (HasMore());
    }

    private bool HasMore()
    {
        lock (_lock)
            return _isSettling = _waiting.Count > 0;
    }

    // Returns why some are not known to be in force.
    private async Task<Exception?> TrySettleAsync(Session session, (long Delivery, Settlement Settlement)[] settlements)
    {
        try
        {
            var answer = await AskAgainAsync(ReaderFrames.Settle(session.Id, settlements)).ConfigureAwait(false);
            if (answer is { Span: [1] })
                return null;
            session.IsBroken = true;
            throw answer is null ? NoAnswer() : new BrokerException(ErrorCode.InvalidRecordState, "The reader has ended.");
        }
        catch (QueueGoneException)
        {
            return null;
        }
        catch (Exception fault)
        {
            log.Write(EngineLogLevel.Warning, $"Settlements of queue '{target.Queue}' may not be in force; their messages may be delivered "
                + $"again: {fault.Message}");
            return fault;
        }
    }

    private async Task<ReadOnlyMemory<byte>?> AskAgainAsync(ReadOnlyMemory<byte> question)
    {
        var began = time.GetTimestamp();
        while (true)
        {
            if (await homes.AskReaderAsync(home, question).ConfigureAwait(false) is { } answer)
                return answer;
            if (time.GetElapsedTime(began) >= LogQueue.Patience)
                return null;
            await Task.Delay(RetryPause, time).ConfigureAwait(false);
        }
    }

    // One reader at the home, after another.
    private sealed class Session(long id)
    {
        private volatile bool _isBroken;

        // 0: it is not attached.
        public long Id => id;

        public long Calls { get; set; }

        // The home may hold for it what never came, or what the client has settled.
        public bool IsBroken
        {
            get => _isBroken;
            set => _isBroken = value;
        }
    }

    private sealed record RemoteHold(long Position, int Failures, Session Session, long Delivery) : MessageHold(Position, Failures);
}
