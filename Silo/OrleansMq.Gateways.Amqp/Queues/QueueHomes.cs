using System.Collections.Concurrent;
using OrleansMq.Diagnostics;
using OrleansMq.Hosting;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// The queues of a cluster that are each in the memory of their home (<see cref="QueueHome"/>): this gateway sends messages to the other
/// homes and reads their queues, and takes messages and readers to its own. Thread safe.
/// <para>
/// Failures: a home that has ended for good has no queues any more. One that does not answer may have taken the messages. A home that is
/// over its limit of memory, and whose queues hold more than half of it, takes no messages, and says so: they are sent again. What the
/// home itself has for others does not count there: two homes would wait for each other. A frame that comes twice, or late behind the next
/// one, is not taken: its messages come once, and in their order. A home with an older image of the virtual host than the sender's asks
/// the owner before it calls a queue gone.
/// </para>
/// </summary>
internal sealed class QueueHomes : IDisposable
{
    /// <summary>The beginning of the names by which gateways take questions; a home's <see cref="QueueHome.Mark"/> follows.</summary>
    internal const string GatewayName = "amqp-queues";

    /// <summary>The beginning of the names by which gateways take the questions of readers.</summary>
    internal const string ReadersName = "amqp-readers";

    // How long the questions of other brokers wait for the owner of the virtual hosts. They have ten seconds.
    private static readonly TimeSpan MaxLook = TimeSpan.FromSeconds(3);

    // How long other brokers are asked for a queue's messages.
    private static readonly TimeSpan MaxAsking = TimeSpan.FromSeconds(5);

    // Between two questions without an answer.
    private static readonly TimeSpan MinPause = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan MaxPause = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<QueueHome, HomeLane> _lanes = new();
    private readonly QueueRegistry _registry;
    private readonly QueueHome _own;
    private readonly IGatewayPeers _peers;
    private readonly HomeReaders _readers;
    private readonly CancellationTokenSource _closed = new();
    private readonly RareLine _unsent;
    // The last frame of each sender and its answer. A gateway has one sender to this home while it runs.
    private readonly Dictionary<long, (long Number, Task<ReadOnlyMemory<byte>> Answer)> _last = [];

    /// <param name="registry">The queues of this gateway.</param>
    /// <param name="own">This gateway's home.</param>
    /// <param name="peers">The other brokers' gateways.</param>
    public QueueHomes(QueueRegistry registry, QueueHome own, IGatewayPeers peers)
    {
        (_registry, _own, _peers) = (registry, own, peers);
        _unsent = new RareLine(registry.Log, registry.Time);
        _readers = new HomeReaders(FindNewestAsync, peers, registry.Answers, registry.Time);
        Reads = new CopyRoom(registry.Memory.Limit / 8);
    }

    /// <summary>The room for messages that this gateway's readers read again from other homes.</summary>
    public CopyRoom Reads { get; }

    /// <summary>Takes the messages and the readers of other brokers from now on.</summary>
    public void Open()
    {
        _peers.Answer(GatewayOf(_own), AnswerAsync);
        _peers.Answer(ReadersOf(_own), _readers.AnswerAsync);
        _readers.Open();
    }

    /// <summary>Publishes a message to a queue of another home. The calls of one caller keep their order, also where it does not wait for
    /// each.</summary>
    public Task<PublishOutcome> PublishAsync(QueueHome home, HomeTarget target, AmqpMessage message) =>
        (_lanes.TryGetValue(home, out var lane) ? lane : Add(home)).AddAsync(
            new HomePublish(target, _registry.Hosts.Find(target.VirtualHost)?.Version ?? 0, message));

    /// <summary>Counts the messages of a queue of another home.</summary>
    /// <exception cref="QueueGoneException">The queue is deleted, or its home is no live member of the cluster.</exception>
    /// <exception cref="BrokerException">There is no answer.</exception>
    public async ValueTask<QueueCounts> CountAsync(QueueHome home, HomeTarget target) =>
        HomeFrames.ReadCounts(await AskAsync(home, target, HomeFrames.Count(target)).ConfigureAwait(false)).Counts;

    /// <summary>Purges a queue of another home of the messages that it has now. Returns their number.</summary>
    /// <inheritdoc cref="CountAsync" path="/exception"/>
    public async ValueTask<long> PurgeAsync(QueueHome home, HomeTarget target)
    {
        var (_, end) = HomeFrames.ReadCounts(await AskAsync(home, target, HomeFrames.Count(target)).ConfigureAwait(false));
        return HomeFrames.ReadNumbers(await AskAsync(home, target, HomeFrames.Purge(target, end)).ConfigureAwait(false), 1)[0];
    }

    /// <summary>Attaches a reader to a queue of another home.</summary>
    /// <exception cref="QueueGoneException">The queue is deleted, or its home is no live member of the cluster.</exception>
    /// <exception cref="BrokerException">There is no answer.</exception>
    public async ValueTask<IQueueReader> AttachAsync(QueueHome home, HomeTarget target, int priority)
    {
        var reader = new RemoteReader(this, home, target, priority, _registry.Time, _registry.Log);
        await reader.AttachAsync().ConfigureAwait(false);
        return reader;
    }

    /// <summary>Returns what a new reader's home must know of it.</summary>
    public ReaderOrigin OriginOf(HomeTarget target, int priority) =>
        new(target, _registry.Hosts.Find(target.VirtualHost)?.Version ?? 0, priority, _own.Incarnation);

    /// <summary>Asks another home about a reader. Returns its answer; null if there is none.</summary>
    /// <exception cref="QueueGoneException">The home's broker has ended.</exception>
    public async Task<ReadOnlyMemory<byte>?> AskReaderAsync(QueueHome home, ReadOnlyMemory<byte> question)
    {
        if (_peers.BrokerOf(home.Incarnation) is { } broker)
            return await _peers.AskAsync(broker, ReadersOf(home), question).ConfigureAwait(false);
        return _peers.HasEnded(home.Incarnation) ? throw new QueueGoneException() : (ReadOnlyMemory<byte>?)null;
    }

    /// <summary>Asks another home about a reader until it answers. What is asked for may be done twice.</summary>
    /// <exception cref="QueueGoneException">The home's broker has ended.</exception>
    /// <exception cref="OperationCanceledException">This gateway is closed.</exception>
    public async Task<ReadOnlyMemory<byte>> AskReaderAgainAsync(QueueHome home, ReadOnlyMemory<byte> question)
    {
        for (var pause = MinPause; ; pause = pause * 2 < MaxPause ? pause * 2 : MaxPause)
        {
            if (await AskReaderAsync(home, question).ConfigureAwait(false) is { } answer)
                return answer;
            await Task.Delay(pause, _registry.Time, _closed.Token).ConfigureAwait(false);
        }
    }

    /// <summary>Ends a reader of a queue of another home, and completes when that has answered, or has ended. The readers of a gateway that
    /// is closed end with its broker.</summary>
    public async Task EndReaderAsync(QueueHome home, long reader)
    {
        try
        {
            await AskReaderAgainAsync(home, ReaderFrames.Of(ReaderFrames.EndKind, reader)).ConfigureAwait(false);
        }
        catch (Exception ended) when (ended is QueueGoneException or OperationCanceledException)
        {
            // So have its readers.
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _peers.Answer(GatewayOf(_own), null);
        _peers.Answer(ReadersOf(_own), null);
        _readers.Dispose();
        _closed.Cancel();
    }

    private static string GatewayOf(QueueHome home) => GatewayName + home.Mark;

    private static string ReadersOf(QueueHome home) => ReadersName + home.Mark;

    // A broker that starts again is another home: lanes to those that have ended go.
    private HomeLane Add(QueueHome home)
    {
        foreach (var ended in _lanes.Keys.Where(other => _peers.HasEnded(other.Incarnation)))
            _lanes.TryRemove(ended, out _);
        return _lanes.GetOrAdd(home, LaneTo);
    }

    private HomeLane LaneTo(QueueHome home) => new(frame => SendAsync(home, frame), () => _peers.HasEnded(home.Incarnation),
        _registry.Copies, _registry.Time, line => _unsent.Write(EngineLogLevel.Warning,
            $"Queues in the memory of {home.Incarnation}: {line}"));

    private async Task<ReadOnlyMemory<byte>?> SendAsync(QueueHome home, ReadOnlyMemory<byte> question) =>
        _peers.BrokerOf(home.Incarnation) is { } broker
            ? await _peers.AskAsync(broker, GatewayOf(home), question).ConfigureAwait(false) : null;

    // Asked again where an answer was lost: what it asks for may be done twice.
    private async Task<ReadOnlyMemory<byte>> AskAsync(QueueHome home, HomeTarget target, ReadOnlyMemory<byte> question)
    {
        for (var began = _registry.Time.GetTimestamp(); ;)
        {
            if (_peers.BrokerOf(home.Incarnation) is not { } broker)
                throw new QueueGoneException();
            if (await _peers.AskAsync(broker, GatewayOf(home), question).ConfigureAwait(false) is { } answer)
                return answer;
            if (_registry.Time.GetElapsedTime(began) >= MaxAsking)
                throw new BrokerException(ErrorCode.RequestTimedOut,
                    $"Broker {broker}, which has queue '{target.Queue}' in memory, did not answer.");
            await Task.Delay(MinPause, _registry.Time).ConfigureAwait(false);
        }
    }

    private async Task<ReadOnlyMemory<byte>> AnswerAsync(ReadOnlyMemory<byte> question) => question.Span[0] switch
    {
        HomeFrames.PublishKind => await TakeAsync(question).ConfigureAwait(false),
        HomeFrames.CountKind => await CountOwnAsync(HomeFrames.ReadTarget(question)).ConfigureAwait(false),
        HomeFrames.PurgeKind => await PurgeOwnAsync(HomeFrames.ReadPurge(question)).ConfigureAwait(false),
        var other => throw new InvalidDataException($"A question to queues in memory has the kind {other}."),
    };

    // A frame that comes twice has one answer, also while it is being taken. One that comes late is not taken.
    private async Task<ReadOnlyMemory<byte>> TakeAsync(ReadOnlyMemory<byte> question)
    {
        var (sender, number) = HomeFrames.ReadOrigin(question);
        var answer = new TaskCompletionSource<ReadOnlyMemory<byte>>(TaskCreationOptions.RunContinuationsAsynchronously);
        (long Number, Task<ReadOnlyMemory<byte>> Answer) last;
        lock (_last)
        {
            last = _last.GetValueOrDefault(sender);
            if (number > last.Number)
                _last[sender] = (number, answer.Task);
        }
        if (number == last.Number)
            return await last.Answer.ConfigureAwait(false);
        if (number < last.Number)
            throw new InvalidDataException($"Frame {number} of messages to queues in memory comes behind frame {last.Number}.");
        try
        {
            answer.SetResult(await TakeNextAsync(question).ConfigureAwait(false));
        }
        catch (Exception fault)
        {
            answer.SetException(fault);
        }
        return await answer.Task.ConfigureAwait(false);
    }

    // In their order. An owner that does not answer, or does so late, is not asked for the queues that follow.
    private async Task<ReadOnlyMemory<byte>> TakeNextAsync(ReadOnlyMemory<byte> question)
    {
        if (!_registry.Memory.TakesFromOthers)
            return HomeFrames.Busy;
        var publishes = HomeFrames.ReadPublishes(question, _registry.Time.GetUtcNow().ToUnixTimeMilliseconds());
        var outcomes = new byte[publishes.Count];
        var began = _registry.Time.GetTimestamp();
        var (target, queue, otherwise, mayLook) = (default(HomeTarget), default(IAmqpQueue), PublishOutcome.Gone, true);
        for (var i = 0; i < outcomes.Length; i++)
        {
            var publish = publishes[i];
            if (!ReferenceEquals(publish.Target, target))
            {
                target = publish.Target;
                (queue, otherwise) = await FindAsync(target, publish.Version, mayLook).ConfigureAwait(false);
                mayLook &= otherwise != PublishOutcome.Unknown && _registry.Time.GetElapsedTime(began) < MaxLook;
            }
            outcomes[i] = (byte)(queue is null ? otherwise : await queue.PublishAsync(publish.Message).ConfigureAwait(false));
        }
        return outcomes;
    }

    // The queue; null with the outcome of what is published to it.
    private async Task<(IAmqpQueue? Queue, PublishOutcome Otherwise)> FindAsync(HomeTarget target, long version, bool mayLook)
    {
        try
        {
            var host = _registry.Hosts.Find(target.VirtualHost);
            var state = Find(host, target);
            if (state is null && !(host?.Version >= version))
            {
                if (!mayLook)
                    return (null, PublishOutcome.Unknown);
                state = Find(await _registry.Hosts.RefreshAsync(target.VirtualHost).AsTask().WaitAsync(MaxLook, _registry.Time)
                    .ConfigureAwait(false), target);
            }
            // One of an earlier incarnation of this broker ended with that.
            if (state is null)
                return (null, PublishOutcome.Gone);
            var entry = await _registry.OpenAsync(target.VirtualHost, state).ConfigureAwait(false);
            return (entry.Queue, PublishOutcome.Gone);
        }
        catch (BrokerException gone) when (LogQueue.IsGone(gone.Code))
        {
            return (null, PublishOutcome.Gone);
        }
        catch (Exception unknown) when (unknown is BrokerException or TimeoutException)
        {
            return (null, PublishOutcome.Unknown);
        }
    }

    // Null: it is not there, also in an image of that version.
    private async Task<MemoryQueue?> FindNewestAsync(HomeTarget target, long version)
    {
        var (queue, otherwise) = await FindAsync(target, version, mayLook: true).ConfigureAwait(false);
        return queue is null && otherwise == PublishOutcome.Unknown
            ? throw new BrokerException(ErrorCode.RequestTimedOut, $"Whether there is a queue '{target.Queue}' is not known.")
            : (MemoryQueue?)queue;
    }

    // Null also for a queue that is not in this gateway's memory.
    private QueueState? Find(VirtualHostImage? host, HomeTarget target) => host?.Topology.FindQueue(target.Queue) is { } queue
        && queue.Id == target.Id && !_registry.IsOnLog(queue) && _registry.IsHome(queue) ? queue : null;

    private async Task<ReadOnlyMemory<byte>> CountOwnAsync(HomeTarget target) =>
        await FindNewestAsync(target, long.MaxValue).ConfigureAwait(false) is { } queue
            ? HomeFrames.Counts(await queue.CountAllAsync().ConfigureAwait(false), queue.LastPlace) : HomeFrames.Gone;

    private async Task<ReadOnlyMemory<byte>> PurgeOwnAsync((HomeTarget Target, long End) purge) =>
        await FindNewestAsync(purge.Target, long.MaxValue).ConfigureAwait(false) is { } queue
            ? HomeFrames.Numbers(queue.Purge(purge.End)) : HomeFrames.Gone;
}
