using OrleansMq.Diagnostics;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// A reader of a queue in the memory of another broker. Settlements collect while some are on their way, and follow together.
/// <para>
/// Failures: a question without an answer is asked again, which does no harm (<see cref="HomeReaders"/>). Where there is none for longer,
/// the reader is given up: it ends, as soon as the home answers, and what it held returns to the queue; another one is attached. The home
/// ends one that it has not heard of for <see cref="HomeReaders.Lifetime"/>: a reader without credit says that it is there. A home whose
/// broker has ended has no queues any more. A home without room for an answer says so: another call may have the messages. What is read
/// again has room here, since its size is known.
/// </para>
/// </summary>
/// <param name="homes">The way to the home.</param>
/// <param name="home">The home.</param>
/// <param name="target">The queue.</param>
/// <param name="priority">Readers with a higher one receive first.</param>
/// <param name="time">The clock.</param>
/// <param name="log">The log.</param>
internal sealed class RemoteReader(QueueHomes homes, QueueHome home, HomeTarget target, int priority, TimeProvider time, EngineLog log)
    : SettlingReader<(RemoteReader.Session Session, long Delivery, Settlement Settlement)>, IQueueReader
{
    // The most that one question settles.
    private const int MaxSettlements = 1000;

    // Questions have ten seconds.
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(6);
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan LastAnswers = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan KeepAliveInterval = HomeReaders.Lifetime / 4;

    private ITimer? _keepAlive;
    private TimeSpan _pause = RetryPause;
    private volatile Session _session = new(VirtualHostOwner.NewId());

    /// <summary>Attaches it. One that could not be is disposed of.</summary>
    /// <exception cref="QueueGoneException">The queue is deleted.</exception>
    /// <exception cref="BrokerException">There is no answer for long.</exception>
    public async Task AttachAsync()
    {
        try
        {
            for (var began = time.GetTimestamp(); !await TryAttachAsync().ConfigureAwait(false);)
            {
                if (time.GetElapsedTime(began) >= LogQueue.Patience)
                    throw NoAnswer();
                await PauseAsync(CancellationToken.None).ConfigureAwait(false);
            }
            _keepAlive = time.CreateTimer(_ => _ = KeepAliveAsync(), null, KeepAliveInterval, KeepAliveInterval);
        }
        catch
        {
            // It may be attached.
            _ = homes.EndReaderAsync(home, _session.Id);
            throw;
        }
    }

    // The same session as long as there is no answer, so that one is attached at most.
    private async Task<bool> TryAttachAsync()
    {
        var answer = await homes.AskReaderAsync(home, ReaderFrames.Attach(_session.Id, homes.OriginOf(target, priority)))
            .ConfigureAwait(false);
        if (answer is { Span: [0] })
            throw new QueueGoneException();
        // It was attached, and has ended since nothing more came from here.
        if (answer is { Span: [2] })
            _session = new Session(VirtualHostOwner.NewId());
        if (answer is not { Span: [1, ..] attached })
            return false;
        (_session.TellsGot, _session.IsAttached, _pause) = (attached.Length > 1, true, RetryPause);
        return true;
    }

    private async Task KeepAliveAsync()
    {
        var session = _session;
        try
        {
            // One that is broken and cancelled may hold what its client settles later. One that receives is heard of by that.
            if (session.IsAttached && time.GetElapsedTime(session.ReceivingAt) >= KeepAliveInterval
                && await homes.AskReaderAsync(home, ReaderFrames.Settle(session.Id, [])).ConfigureAwait(false) is { Span: [2] })
                session.IsBroken = true;
        }
        catch (QueueGoneException)
        {
            // A receive finds that.
        }
    }

    private async Task PauseAsync(CancellationToken cancellationToken)
    {
        await Task.Delay(_pause, time, cancellationToken).ConfigureAwait(false);
        _pause = _pause * 2 < LongestPause ? _pause * 2 : LongestPause;
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<HeldMessage>> ReceiveAsync(int max, TimeSpan maxWait, CancellationToken cancellationToken)
    {
        var began = time.GetTimestamp();
        while (true)
        {
            var wait = maxWait < LongestWait ? maxWait : LongestWait;
            var isBusy = false;
            if (await IsWholeAsync(cancellationToken).ConfigureAwait(false))
            {
                (var received, isBusy) = await TryReceiveAsync(max, wait, cancellationToken).ConfigureAwait(false);
                if (received is not null)
                    return received;
            }
            // Nothing is an answer only where the home gave it.
            if (maxWait == TimeSpan.Zero && time.GetElapsedTime(began) >= LogQueue.Patience)
                throw NoAnswer();
            // A home that is busy has waited itself, and keeps a place for the next call.
            if (!isBusy)
                await PauseAsync(cancellationToken).ConfigureAwait(false);
            else if (cancellationToken.IsCancellationRequested)
            {
                var session = _session;
                _ = homes.AskReaderAsync(home, ReaderFrames.Of(ReaderFrames.StopKind, session.Id, session.Calls));
                cancellationToken.ThrowIfCancellationRequested();
            }
            if (maxWait > TimeSpan.Zero)
                return [];
        }
    }

    /// <inheritdoc/>
    public Task SettleAsync(MessageHold hold, Settlement settlement, TimeSpan delay = default)
    {
        var held = (RemoteHold)hold;
        return AddSettlement((held.Session, held.Delivery, settlement));
    }

    /// <inheritdoc/>
    public async Task YieldAsync()
    {
        var session = _session;
        try
        {
            // One that is perhaps attached has the turn perhaps, and holds nothing.
            await (session.IsAttached ? homes.AskReaderAgainAsync(home, ReaderFrames.Of(ReaderFrames.YieldKind, session.Id))
                : homes.EndReaderAsync(home, session.Id)).WaitAsync(LastAnswers, time).ConfigureAwait(false);
        }
        catch (Exception ended) when (ended is QueueGoneException or TimeoutException or OperationCanceledException)
        {
            // So has its turn, or the question goes on, or the gateway is closed.
        }
    }

    /// <inheritdoc/>
    public async ValueTask<AmqpMessage?> ReadAsync(MessageHold hold)
    {
        var held = (RemoteHold)hold;
        var isLarge = held.Bytes > ReaderFrames.SmallBytes;
        // Each read has an answer, or none, within seconds.
        if (isLarge)
            await homes.Reads.EnterAsync(held.Bytes).ConfigureAwait(false);
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
        finally
        {
            if (isLarge)
                homes.Reads.Exit(held.Bytes);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_keepAlive is not null)
            await _keepAlive.DisposeAsync().ConfigureAwait(false);
        // What is not in force yet follows, or the message comes again.
        await Settling.WaitAsync(LastAnswers, time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await homes.EndReaderAsync(home, _session.Id).WaitAsync(LastAnswers, time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private BrokerException NoAnswer() => new(ErrorCode.RequestTimedOut,
        $"The broker that has queue '{target.Queue}' in memory did not answer. Retry; the queue ends with its broker.");

    // Whether it is attached, perhaps anew. The settlements of the client come first, where the home takes them. The end of what is broken
    // goes on until the home answers.
    private async Task<bool> IsWholeAsync(CancellationToken cancellationToken)
    {
        if (_session.IsBroken)
        {
            await Settling.WaitAsync(LastAnswers, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await homes.EndReaderAsync(home, _session.Id).WaitAsync(LastAnswers, time, cancellationToken)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            _session = new Session(VirtualHostOwner.NewId());
        }
        return _session.IsAttached || await TryAttachAsync().ConfigureAwait(false);
    }

    // Null: whether the queue has some is not known; or the home has no room for its answer.
    private async Task<(IReadOnlyList<HeldMessage>? Received, bool IsBusy)> TryReceiveAsync(int max, TimeSpan maxWait,
        CancellationToken cancellationToken)
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
                _pause = RetryPause;
                return ([.. ReadMessages(session, call, messages).Select(one => one.Held with
                {
                    Hold = new RemoteHold(one.Held.Hold.Position, one.Held.Hold.Failures, one.Held.Message.Bytes, session, one.Delivery),
                })], false);
            case { Span: [0] }:
                throw new QueueGoneException();
            case { Span: [3] }:
                return (null, true);
            default:
                session.IsBroken = true;
                _ = ReturnAsync(session, call, max);
                return (null, false);
        }
    }

    // What came of a call without an answer goes back to its place, also where no other call ends the session.
    private async Task ReturnAsync(Session session, long call, int max)
    {
        try
        {
            // A call that is stopped leaves nothing waiting at the home, whether it has come there or not.
            await homes.AskReaderAgainAsync(home, ReaderFrames.Of(ReaderFrames.StopKind, session.Id, call)).ConfigureAwait(false);
            var answer = await homes.AskReaderAgainAsync(home, ReaderFrames.Receive(session.Id, call, max, TimeSpan.Zero))
                .ConfigureAwait(false);
            if (answer.Span is not [1, ..])
                return;
            var received = ReadMessages(session, call, answer).Select(static one => (one.Delivery, Settlement.Return));
            await homes.AskReaderAgainAsync(home, ReaderFrames.Settle(session.Id, received)).ConfigureAwait(false);
        }
        catch (Exception ended) when (ended is QueueGoneException or OperationCanceledException)
        {
            // So are the messages; or the gateway is closed.
        }
    }

    // A large answer leaves its room at the home. Where the home is not told, it does so later.
    private List<(long Delivery, HeldMessage Held)> ReadMessages(Session session, long call, ReadOnlyMemory<byte> answer)
    {
        var messages = ReaderFrames.ReadMessages(answer);
        if (session.TellsGot && ReaderFrames.BytesOf(messages) > ReaderFrames.SmallBytes)
            _ = homes.AskReaderAsync(home, ReaderFrames.Of(ReaderFrames.GotKind, session.Id, call));
        return messages;
    }

    // What is cancelled is to be answered at once: what the answer has then goes back to its place soon.
    private async Task<ReadOnlyMemory<byte>?> AskToReceiveAsync(Session session, ReadOnlyMemory<byte> question, long call,
        CancellationToken cancellationToken)
    {
        session.ReceivingAt = time.GetTimestamp();
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

    /// <inheritdoc/>
    protected override async Task<Exception?> SettleRoundAsync(
        List<(Session Session, long Delivery, Settlement Settlement)> settlements)
    {
        Exception? fault = null;
        foreach (var group in settlements.GroupBy(static item => item.Session))
        {
            foreach (var part in group.Select(static item => (item.Delivery, item.Settlement)).Chunk(MaxSettlements))
                fault = await TrySettleAsync(group.Key, part).ConfigureAwait(false) ?? fault;
        }
        return fault;
    }

    // Returns why some are not known to be in force.
    private async Task<Exception?> TrySettleAsync(Session session, (long Delivery, Settlement Settlement)[] settlements)
    {
        try
        {
            // It goes on where that is not waited for: a session that receives nothing more would hold the messages.
            var answer = await homes.AskReaderAgainAsync(home, ReaderFrames.Settle(session.Id, settlements))
                .WaitAsync(LogQueue.Patience, time).ConfigureAwait(false);
            return answer.Span is [1] ? null : throw new BrokerException(ErrorCode.InvalidRecordState, "The reader has ended.");
        }
        catch (QueueGoneException)
        {
            return null;
        }
        catch (Exception failure)
        {
            session.IsBroken = true;
            var fault = failure is TimeoutException ? NoAnswer() : failure;
            log.Write(EngineLogLevel.Warning, $"Settlements of queue '{target.Queue}' may not be in force; their messages may be delivered "
                + $"again: {fault.Message}");
            return fault;
        }
    }

    /// <summary>One reader at the home, after another.</summary>
    /// <param name="id">Its number.</param>
    internal sealed class Session(long id)
    {
        private volatile bool _isAttached;
        private volatile bool _isBroken;
        private long _receivingAt;

        /// <summary>Its number.</summary>
        public long Id => id;

        /// <summary>Whether the home has answered so.</summary>
        public bool IsAttached
        {
            get => _isAttached;
            set => _isAttached = value;
        }

        /// <summary>Whether the home is to be told of large answers that have come. Set before it is attached.</summary>
        public bool TellsGot { get; set; }

        /// <summary>The number of its receives.</summary>
        public long Calls { get; set; }

        /// <summary>When it asked for messages last, a timestamp; 0: never.</summary>
        public long ReceivingAt
        {
            get => Volatile.Read(ref _receivingAt);
            set => Volatile.Write(ref _receivingAt, value);
        }

        /// <summary>Whether the home may hold for it what never came, or what the client has settled.</summary>
        public bool IsBroken
        {
            get => _isBroken;
            set => _isBroken = value;
        }
    }

    private sealed record RemoteHold(long Position, int Failures, int Bytes, Session Session, long Delivery)
        : MessageHold(Position, Failures);
}
