using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Compression;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Amqp.Channels;
using OrleansMq.Gateways.Amqp.Delays;
using OrleansMq.Gateways.Amqp.Metrics;
using OrleansMq.Gateways.Amqp.Streams;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Hosting;
using OrleansMq.Quotas;
using OrleansMq.Security;
using OrleansMq.Topics;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// The queues that this broker has opened, one <see cref="QueueEntry"/> for each id, and who consumes them. A queue is opened by its first
/// use, or in the background soon after it was declared: a declaration costs one write. It ends when the virtual hosts say that it is
/// deleted: its consumers are told, then its messages go. Thread safe.
/// <para>
/// Failures: a queue that cannot be opened is opened again by its next use. One that cannot be in the background is tried again, after
/// pauses that grow, until it is open or deleted; the others do not wait for it. So are the delayed messages of a virtual host. A topic
/// that cannot be deleted stays behind, until a queue is declared under the same name. What the owner of the virtual hosts must learn of a
/// connection or a consumer that has gone is repeated until it has.
/// </para>
/// </summary>
internal sealed class QueueRegistry : IDeadLetters, IAsyncDisposable
{
    // Between two questions of dead letters for the newest image of a virtual host.
    private static readonly TimeSpan RefreshPause = TimeSpan.FromSeconds(1);

    private const int MaxDeclared = 10_000;
    private static readonly TimeSpan MinPause = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan MaxPause = TimeSpan.FromSeconds(15);
    // Queues that act without a client, and those that are tried again, have so many places to be opened in. One whose partition has no
    // leader, or whose leader does not answer, leaves its place to the next after a while, and goes on without it.
    private const int MaxPlaces = 16;
    private static readonly TimeSpan MaxPlaceTime = TimeSpan.FromSeconds(2);

    private readonly ConcurrentDictionary<(string VirtualHost, long Id), Lazy<Task<QueueEntry>>> _entries = new();
    private readonly ConcurrentDictionary<(string VirtualHost, long Id), Lazy<Task>> _ends = new();
    // The connections to this gateway, with their virtual hosts.
    private readonly ConcurrentDictionary<string, string> _open = new(StringComparer.Ordinal);
    private readonly NameCounts _connections = new();
    private readonly QueueHome _home;
    private readonly QueueHomes _homes;
    private readonly PeerBuilds _builds;
    // The creation and deletion of one name's topic do not overlap.
    private readonly TopicGates _topics = new();
    // Changes of policies reach the queues of a virtual host one after the other, so that the last one counts.
    private readonly ConcurrentDictionary<string, SemaphoreSlim> _applying = new(StringComparer.Ordinal);
    // Patterns of policies that take too long for some names, and are logged.
    private readonly ConditionalWeakTable<SafePattern, object> _slow = [];
    // For the newest images of virtual hosts.
    private readonly SpacedQuestions<VirtualHostImage?> _refreshes;
    // Declared, to be opened one after the other. What has no place here is opened by its declaration.
    private readonly Channel<UnopenedQueue> _declared =
        Channel.CreateBounded<UnopenedQueue>(new BoundedChannelOptions(MaxDeclared) { SingleReader = true });
    // Those that are opened until they are open, each once at a time.
    private readonly ConcurrentDictionary<(string VirtualHost, long Id), byte> _repeated = new();
    // As are the delayed messages of these virtual hosts.
    private readonly ConcurrentDictionary<(string VirtualHost, int FirstEpoch), byte> _repeatedDelays = new();
    private readonly SemaphoreSlim _places = new(MaxPlaces);
    private readonly RareLine _unopened;
    private readonly RareLine _unopenedDelays;
    private readonly CancellationTokenSource _closed = new();
    private readonly HostedBroker _host;
    private readonly IBroker _broker;
    private readonly RareLine _unroutable;
    private readonly RareLine _slowPermission;

    /// <param name="host">The broker that keeps the queues.</param>
    /// <param name="hosts">The virtual hosts.</param>
    /// <param name="time">The clock.</param>
    /// <param name="log">The log.</param>
    /// <param name="memory">The memory of messages.</param>
    public QueueRegistry(HostedBroker host, IVirtualHosts hosts, TimeProvider time, EngineLog log, MemoryBudget memory)
    {
        (_host, Hosts, Time, Log, Memory) = (host, hosts, time, log, memory);
        Copies = new BatchRoom(memory.Limit / 2);
        Answers = new CopyRoom(memory.Limit / 8);
        (Unread, Kept) = (new CopyMemory(memory.Limit / 8), new CopyMemory(memory.Limit / 8));
        _refreshes = new SpacedQuestions<VirtualHostImage?>(RefreshOnceAsync, RefreshPause, time);
        _broker = host.Access.Open(BrokerSession.InProcess).Broker;
        (_unroutable, _slowPermission) = (new RareLine(log, time), new RareLine(log, time));
        (_unopened, _unopenedDelays) = (new RareLine(log, time), new RareLine(log, time));
        Delays = new DelayedMessages(this, _broker);
        Logins = new AmqpLogins(host.Access.Meter.Denials, time, log);
        _home = QueueHome.New(host.Incarnation);
        _homes = new QueueHomes(this, _home, host.Peers);
        _builds = new PeerBuilds(host, time);
        hosts.Changed += OnChanged;
        // Other brokers may ask at once.
        _homes.Open();
        _ = Task.Run(OpenDeclaredAsync);
    }

    /// <summary>The messages that exchanges delay.</summary>
    public DelayedMessages Delays { get; }

    /// <summary>Checks the logins of users.</summary>
    public AmqpLogins Logins { get; }

    /// <summary>The virtual hosts.</summary>
    public IVirtualHosts Hosts { get; }

    /// <summary>The memory of messages.</summary>
    public MemoryBudget Memory { get; }

    /// <summary>The room for batches on their way to queues on the log: half of what messages may have in memory. The copies that the
    /// queues of one message need must not block all publishers.</summary>
    public BatchRoom Copies { get; }

    /// <summary>The room for large answers on their way from this home to the readers of other brokers: an eighth of what messages may
    /// have in memory.</summary>
    public CopyRoom Answers { get; }

    /// <summary>The memory of messages that clients have not read yet.</summary>
    public CopyMemory Unread { get; }

    /// <summary>The memory of messages that clients have not acknowledged, and that become dead letters where they are rejected.</summary>
    public CopyMemory Kept { get; }

    /// <summary>The consumers of each user, on all connections to this gateway.</summary>
    public NameCounts Consumers { get; } = new();

    /// <summary>What channels and dead letters count.</summary>
    public MessageTotals Totals { get; } = new();

    /// <summary>The clock.</summary>
    public TimeProvider Time { get; }

    /// <summary>The log.</summary>
    public EngineLog Log { get; }

    /// <summary>Returns the id of a new connection to this broker, which is open until <see cref="Closed"/>.</summary>
    /// <param name="virtualHost">Its virtual host.</param>
    /// <param name="most">The most connections to that; null for no limit.</param>
    /// <returns>Null: it has as many.</returns>
    public string? TryConnect(string virtualHost, int? most)
    {
        if (!_connections.TryAdd(virtualHost, most))
            return null;
        var id = _home.NewConnection();
        _open.TryAdd(id, virtualHost);
        return id;
    }

    /// <summary>A connection ends: it gets nothing more from now on, and its place is free.</summary>
    public void Closed(string connection)
    {
        if (_open.TryRemove(connection, out var virtualHost))
            _connections.Remove(virtualHost);
    }

    /// <summary>Has the queues opened in the background that act without a client: those that expire, or dead-letter what expires, and what
    /// exchanges delay. Deletes what queues have left that ended when no broker ran.</summary>
    /// <exception cref="BrokerException">What they have left cannot be deleted.</exception>
    public async Task OpenActiveAsync()
    {
        foreach (var host in Hosts.Names.Select(Hosts.Find).OfType<VirtualHostImage>())
            OpenActive(host);
        await DeleteLeftAsync().ConfigureAwait(false);
    }

    // A crash between the deletion of a queue and that of its topic leaves the topic. Queues that are not durable end with the last broker,
    // and their topics stay. A queue in memory has none: one of its name is left. A topic is a queue's by the name of its cursor. Topics of
    // virtual hosts that are not open are kept. One that cannot be deleted does not keep the others.
    private async Task DeleteLeftAsync()
    {
        var names = Hosts.Names;
        var topics = (await _broker.ListTopicsAsync().ConfigureAwait(false)).Where(topic => names.Any(name =>
            QueueTopics.IsOfHost(name, topic.Name))).ToArray();
        // Read after the topics: a queue is declared before it has one.
        var known = new HashSet<string>(StringComparer.Ordinal);
        foreach (var name in names)
        {
            known.Add(QueueTopics.NameOf(name, DelayedMessages.DueQueue));
            known.UnionWith(((await Hosts.RefreshAsync(name).ConfigureAwait(false))?.Topology.Queues ?? [])
                .Where(IsOnLog).Select(queue => QueueTopics.NameOf(name, queue.Name, queue.Durable)));
        }
        BrokerException? first = null;
        foreach (var topic in topics.Where(topic => !known.Contains(topic.Name)))
        {
            try
            {
                var cursors = await _broker.Queues.ListAsync(new TopicPartition(topic.Name, 0)).ConfigureAwait(false);
                if (cursors.Any(static cursor => QueueTopics.IsCursor(cursor.Name)))
                    await _broker.DeleteTopicAsync(topic.Name, topic.TopicId).ConfigureAwait(false);
            }
            catch (BrokerException gone) when (LogQueue.IsGone(gone.Code))
            {
                // Another broker has deleted it.
            }
            catch (BrokerException fault)
            {
                first ??= new BrokerException(fault.Code, $"Topic '{topic.Name}' of a deleted queue: {fault.Message}", fault);
            }
        }
        if (first is not null)
            throw first;
    }

    private void OpenActive(VirtualHostImage host)
    {
        foreach (var queue in host.Topology.Queues.Where(queue => IsActive(host, queue) && !IsOpen(host.Name, queue)
            && (IsOnLog(queue) || IsHome(queue))))
            OpenLater(new UnopenedQueue(host.Name, queue.Name, queue.Id), TimeSpan.Zero);
        if (host.Topology.Exchanges.Any(static exchange => exchange.Type == ExchangeTypes.Delayed))
            OpenDelays(host);
        ReportSlow(host.Name, host.Settings.Policies);
    }

    /// <summary>Logs that a permission's pattern takes too long to match, once a minute.</summary>
    public void ReportSlowPermission(string line) => _slowPermission.Write(EngineLogLevel.Error, line);

    // Called after policies were matched.
    private void ReportSlow(string virtualHost, PolicySet policies)
    {
        foreach (var policy in policies.Backtracking)
        {
            if (policy.Pattern.HasOverrun && _slow.TryAdd(policy.Pattern, policy))
                Log.Write(EngineLogLevel.Error, $"The policy '{policy.Name}' of virtual host '{virtualHost}' does not apply to some names: "
                    + $"its pattern '{policy.Pattern}' takes too long to match them. Replace it by one without nested repetitions.");
        }
    }

    private static bool IsActive(VirtualHostImage host, QueueState queue) => queue.Type != QueueType.Stream
        && host.Settings.Policies.SettingsOf(queue) is { Expires: not null } or { DeadLetterExchange: not null };

    /// <summary>Opens a queue.</summary>
    /// <exception cref="BrokerException">It cannot be opened.</exception>
    public Task<QueueEntry> OpenAsync(string virtualHost, QueueState queue) =>
        _entries.GetOrOpen((virtualHost, queue.Id), () => CreateAsync(virtualHost, queue)).Value;

    /// <summary>Returns whether a queue that is declared now and not durable is to be in the memory of this broker, where others share it:
    /// all brokers must find it there.</summary>
    public ValueTask<bool> KeepsInMemoryAsync() => Hosts.IsShared ? _builds.AllReadMemoryAsync() : new(false);

    /// <summary>Has a queue that was declared just now opened in the background. Its first use opens it where that comes before.</summary>
    /// <returns>Whether it waits for that, without messages and consumers; false: open it now, since it is in memory, acts without a
    /// client, or too many wait.</returns>
    public bool OpenSoon(string virtualHost, QueueState queue) => IsOnLog(queue)
        && Hosts.Find(virtualHost) is { } host && !IsActive(host, queue)
        && _declared.Writer.TryWrite(new UnopenedQueue(virtualHost, queue.Name, queue.Id));

    private async Task OpenDeclaredAsync()
    {
        await foreach (var unopened in _declared.Reader.ReadAllAsync().ConfigureAwait(false))
        {
            if (_closed.IsCancellationRequested)
                return;
            if (Find(unopened) is { } queue && !await TryOpenAsync(unopened.VirtualHost, queue).ConfigureAwait(false))
                OpenLater(unopened, MinPause);
        }
    }

    // Has a queue opened after a pause, and again after longer ones until it is open or deleted.
    private void OpenLater(UnopenedQueue unopened, TimeSpan pause)
    {
        if (_repeated.TryAdd((unopened.VirtualHost, unopened.Id), 0))
            _ = Task.Run(async () =>
            {
                await RepeatAsync(() => OpenInPlaceAsync(unopened), pause).ConfigureAwait(false);
                _repeated.TryRemove((unopened.VirtualHost, unopened.Id), out _);
            });
    }

    // Whether the queue is open or deleted, or the gateway stops.
    private async Task<bool> OpenInPlaceAsync(UnopenedQueue unopened)
    {
        Task<bool> opening;
        await _places.WaitAsync().ConfigureAwait(false);
        try
        {
            if (_closed.IsCancellationRequested || Find(unopened) is not { } queue)
                return true;
            opening = TryOpenAsync(unopened.VirtualHost, queue);
            await ((Task)opening).WaitAsync(MaxPlaceTime, Time, _closed.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        finally
        {
            _places.Release();
        }
        return await opening.ConfigureAwait(false);
    }

    // Null: it is deleted.
    private QueueState? Find(UnopenedQueue unopened) =>
        Hosts.Find(unopened.VirtualHost)?.Topology.FindQueue(unopened.Queue) is { } queue && queue.Id == unopened.Id ? queue : null;

    private bool IsOpen(string virtualHost, QueueState queue) =>
        _entries.TryGetValue((virtualHost, queue.Id), out var opening) && opening.Value.IsCompletedSuccessfully;

    private async Task<bool> TryOpenAsync(string virtualHost, QueueState queue)
    {
        try
        {
            await OpenAsync(virtualHost, queue).ConfigureAwait(false);
            return true;
        }
        catch (Exception fault)
        {
            // Whatever it is, the next one has its turn, and this one is tried again. If it is deleted, the next attempt finds that.
            if (_entries.TryGetValue((virtualHost, queue.Id), out var opening) && opening.Value.IsFaulted)
                _entries.TryRemove(new((virtualHost, queue.Id), opening));
            if (!_closed.IsCancellationRequested && !(fault is BrokerException gone && LogQueue.IsGone(gone.Code)))
                ReportUnopened(queue, fault);
            return false;
        }
    }

    private void ReportUnopened(QueueState queue, Exception fault) =>
        _unopened.Write(EngineLogLevel.Warning, $"Queue '{queue.Name}' could not be opened: {fault.Message}");

    /// <summary>Opens a topic's partition as a stream.</summary>
    /// <param name="virtualHost">The virtual host.</param>
    /// <param name="stream">The partition.</param>
    /// <param name="user">The user, as whom it is read.</param>
    /// <param name="host">The client's address.</param>
    /// <exception cref="AmqpException">There is no such topic or partition, or it is not to be read so.</exception>
    public async ValueTask<QueueEntry> OpenTopicAsync(string virtualHost, TopicStream stream, string user, string host)
    {
        var broker = _host.Access.Open(SessionOf(user, host)).Broker;
        var partition = await stream.FindAsync(broker, virtualHost).ConfigureAwait(false);
        // It is no queue of a virtual host: its id is that of none.
        var state = new QueueState { Name = stream.Name, Id = 0, Type = QueueType.Stream, Durable = true };
        return new QueueEntry(this, virtualHost, state, PolicySet.Empty.SettingsOf(state), new StreamQueue(
            new StreamSource(broker, partition, partition.Topic, StandardCodecs.All, Time, Log), own: null));
    }

    /// <summary>Opens a topic for a user's publishes.</summary>
    /// <param name="virtualHost">The virtual host.</param>
    /// <param name="stream">The topic.</param>
    /// <param name="user">The user, as whom it is written.</param>
    /// <param name="host">The client's address.</param>
    /// <exception cref="AmqpException">There is no such topic, or it is not to be written so.</exception>
    public Task<TopicPublisher> OpenPublisherAsync(string virtualHost, TopicStream stream, string user, string host) => TopicPublisher
        .OpenAsync(stream, virtualHost, _host.Access.Open(SessionOf(user, host)).Broker, _broker,
        topic => _host.Metadata.Image.FindServed(topic)?.Partitions.Length, Time, Log);

    // Rules of access control decide on topics, beside the permissions of virtual hosts.
    private static BrokerSession SessionOf(string user, string host) =>
        new(BrokerSecurity.PrincipalOf(user), "", "", host, SessionProtocol.Amqp);

    /// <summary>Takes a queue, exchange or binding that is created or deleted, and stored, from a user's quota.</summary>
    /// <param name="user">The user.</param>
    /// <param name="isDurable">Whether it is durable. What is not is stored, too, where brokers share it.</param>
    /// <returns>Why it is refused; null: it is not.</returns>
    public string? Mutate(string user, bool isDurable)
    {
        const QuotaKey key = QuotaKey.ControllerMutationRate;
        if ((!isDurable && !Hosts.IsShared) || _host.Access.Quotas is not { Image: not null } quotas)
            return null;
        var wait = quotas.Of(BrokerSecurity.PrincipalOf(user), "").Of(key)?.ChargeUnlessOwed(1) ?? TimeSpan.Zero;
        return wait > TimeSpan.Zero
            ? $"the quota {key.Name()} of user '{user}' is used up: retry in {Math.Ceiling(wait.TotalSeconds)} s" : null;
    }

    /// <summary>Ends a queue that is deleted. Completes when its messages are gone.</summary>
    public Task EndAsync(string virtualHost, QueueState queue) =>
        _ends.GetOrAdd((virtualHost, queue.Id), key => new Lazy<Task>(() => Task.Run(() => EndOnceAsync(virtualHost, queue)))).Value;

    /// <summary>Has the owner end the exclusive queues and consumers of a connection. Returns whether it has; else it follows.</summary>
    public Task<bool> EndConnectionAsync(string virtualHost, string connection) =>
        TellOwnerAsync(virtualHost, new EndConnection(connection), $"What connection {connection} had stays for now");

    /// <summary>Tells the owner what must not be lost. Returns whether it has learned it; else that is repeated.</summary>
    /// <param name="virtualHost">The virtual host.</param>
    /// <param name="command">The command, which has no effect the second time.</param>
    /// <param name="consequence">What it means that the owner does not know.</param>
    public async Task<bool> TellOwnerAsync(string virtualHost, VirtualHostCommand command, string consequence)
    {
        if (await TryTellOwnerAsync(virtualHost, command, consequence).ConfigureAwait(false))
            return true;
        _ = Task.Run(() => RepeatAsync(() => TryTellOwnerAsync(virtualHost, command, consequence), MinPause));
        return false;
    }

    // Attempts something after a pause, and again after longer ones, until it is done or the gateway stops.
    private async Task RepeatAsync(Func<Task<bool>> attempt, TimeSpan pause)
    {
        while (true)
        {
            await Task.Delay(pause, Time, _closed.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (_closed.IsCancellationRequested || await attempt().ConfigureAwait(false))
                return;
            pause = pause < MinPause ? MinPause : pause * 2 < MaxPause ? pause * 2 : MaxPause;
        }
    }

    private async Task<bool> TryTellOwnerAsync(string virtualHost, VirtualHostCommand command, string consequence)
    {
        try
        {
            await Hosts.SendAsync(virtualHost, command).ConfigureAwait(false);
        }
        catch (AmqpRefusedException)
        {
            // There is nothing of it any more.
        }
        catch (BrokerException fault)
        {
            Log.Write(EngineLogLevel.Warning, $"{consequence}: {fault.Message}");
            return false;
        }
        return true;
    }

    /// <summary>Counts a queue's messages. One that is not open stays so, and may count as empty where another broker has created its topic
    /// just now.</summary>
    /// <param name="virtualHost">The virtual host.</param>
    /// <param name="queue">The queue.</param>
    /// <param name="patience">How long to wait for a leader of the partition of one that is not open.</param>
    /// <exception cref="QueueGoneException">The queue is deleted.</exception>
    /// <exception cref="BrokerException">Its messages cannot be counted.</exception>
    public async ValueTask<QueueCounts> CountAsync(string virtualHost, QueueState queue, TimeSpan patience = default)
    {
        if (_entries.TryGetValue((virtualHost, queue.Id), out var opening) && opening.Value.IsCompletedSuccessfully)
            return await (await opening.Value.ConfigureAwait(false)).Queue.CountAllAsync().ConfigureAwait(false);
        // In the memory of this broker, and not open, it was never used.
        if (!IsOnLog(queue))
            return IsHome(queue) ? default : await _homes.CountAsync(QueueHome.Of(queue.Keeper!), TargetOf(virtualHost, queue))
                .ConfigureAwait(false);
        try
        {
            return await LogQueue.CountAllAsync(_broker, virtualHost, queue, Time, patience).ConfigureAwait(false);
        }
        catch (QueueGoneException)
        {
            // It was declared, and never used: it has no topic.
            return default;
        }
    }

    /// <summary>Publishes a message to a queue.</summary>
    public async Task<PublishOutcome> PublishAsync(string virtualHost, QueueState queue, AmqpMessage message)
    {
        try
        {
            var entry = await OpenAsync(virtualHost, queue).ConfigureAwait(false);
            return await entry.Queue.PublishAsync(message).ConfigureAwait(false);
        }
        catch (BrokerException gone) when (LogQueue.IsGone(gone.Code))
        {
            return PublishOutcome.Gone;
        }
        catch (BrokerException fault)
        {
            ReportUnopened(queue, fault);
            return PublishOutcome.Unknown;
        }
    }

    async Task<bool> IDeadLetters.PublishAsync(AmqpMessage message, QueueState queue, QueueSettings settings, DeathReason reason,
        HashSet<long>? stored)
    {
        var host = Hosts.Names.Select(Hosts.Find).FirstOrDefault(host => host?.Topology.FindQueue(queue.Name)?.Id == queue.Id);
        if (host is null || settings.DeadLetterExchange is null)
            return true;
        var letter = DeadLetter.Of(message, queue.Name, settings, reason, Time.GetUtcNow());
        var outcome = await SendLetterAsync(host, letter, stored).ConfigureAwait(false);
        if (outcome is null && settings.DeadLettersAtLeastOnce)
        {
            // This broker's image may be older than the exchange, or its bindings. Letters share a question, and ask once a second at most:
            // those that find no route are tried again.
            if (await _refreshes.AskAsync(host.Name).ConfigureAwait(false) is not { } newest)
                return false;
            outcome = await SendLetterAsync(newest, letter, stored).ConfigureAwait(false) ?? PublishOutcome.Refused;
        }
        if (outcome == PublishOutcome.Unknown || (outcome == PublishOutcome.Refused && settings.DeadLettersAtLeastOnce))
            return false;
        // What is refused, or reaches no queue, is lost.
        if (outcome == PublishOutcome.Accepted)
            Totals.DeadLettered(reason);
        return true;
    }

    // Null: there is no exchange, or no queue.
    private async Task<PublishOutcome?> SendLetterAsync(VirtualHostImage host, AmqpMessage letter, HashSet<long>? stored) =>
        host.Topology.FindExchange(letter.Exchange) is null ? null : await RouteAsync(host, letter, stored).ConfigureAwait(false);

    // Null: the owner cannot be asked, or the virtual host is deleted.
    private async Task<VirtualHostImage?> RefreshOnceAsync(string virtualHost)
    {
        await Task.Yield();
        try
        {
            return await Hosts.RefreshAsync(virtualHost).ConfigureAwait(false);
        }
        catch (BrokerException fault)
        {
            Log.Write(EngineLogLevel.Debug, $"Dead letters of virtual host '{virtualHost}' wait: {fault.Message}");
            return null;
        }
        catch (Exception fault)
        {
            // Whatever it is, the next question may be answered: letters wait.
            Log.Write(EngineLogLevel.Error, $"Virtual host '{virtualHost}' cannot be looked at for dead letters, which wait: {fault}");
            return null;
        }
    }

    /// <summary>Counts the queues that this broker leads, or has in memory. None is opened by that.</summary>
    public async Task<IReadOnlyList<CountedQueue>> CountLedAsync(CancellationToken cancellationToken)
    {
        var counted = new List<CountedQueue>();
        foreach (var host in Hosts.Names.Select(Hosts.Find).OfType<VirtualHostImage>())
        {
            foreach (var queue in host.Topology.Queues)
            {
                cancellationToken.ThrowIfCancellationRequested();
                var counts = IsOnLog(queue) ? await CountOnLogAsync(host.Name, queue, cancellationToken).ConfigureAwait(false)
                    : await CountInMemoryAsync(host.Name, queue).ConfigureAwait(false);
                if (counts is { } known)
                    counted.Add(new CountedQueue(host.Name, queue.Name, known, host.Topology.ConsumersOf(queue).Count));
            }
        }
        return counted;
    }

    // Null: another broker leads it. One without a topic was never used.
    private async ValueTask<QueueCounts?> CountOnLogAsync(string virtualHost, QueueState queue, CancellationToken cancellationToken)
    {
        var partition = LogQueue.PartitionOf(virtualHost, queue);
        if (_host.Metadata.Image.FindServed(partition.Topic) is not { } topic)
            return Hosts.IsShared ? null : default(QueueCounts);
        if (topic.Partitions[partition.Partition].Leader != _host.BrokerId)
            return null;
        try
        {
            var own = QueueTopics.CursorOf(queue.Id);
            var cursors = await _host.Broker.Queues.ListAsync(partition, cancellationToken).ConfigureAwait(false);
            return cursors.FirstOrDefault(cursor => cursor.Name == own) is { } cursor ? LogQueue.CountsOf(cursor) : null;
        }
        catch (BrokerException)
        {
            // Led elsewhere by now, or deleted.
            return null;
        }
    }

    // Null: another broker has it.
    private async ValueTask<QueueCounts?> CountInMemoryAsync(string virtualHost, QueueState queue)
    {
        if (!IsHome(queue))
            return null;
        if (!_entries.TryGetValue((virtualHost, queue.Id), out var opening))
            return default(QueueCounts);
        var entry = await OpenedAsync(opening).ConfigureAwait(false);
        return entry is null ? null : await entry.Queue.CountAllAsync().ConfigureAwait(false);
    }

    /// <summary>Publishes a message to the queues that its exchange leads to.</summary>
    /// <param name="virtualHost">The virtual host.</param>
    /// <param name="message">The message.</param>
    /// <param name="stored">The ids of the queues, and of the exchanges that delay it, that have it already; those that take it now are
    /// added.</param>
    /// <returns><see cref="PublishOutcome.Accepted"/>: every queue has it that can, or there is no exchange, or no queue.
    /// <see cref="PublishOutcome.Refused"/>: one is full, or the routing takes too many steps.
    /// <see cref="PublishOutcome.Unknown"/>: of one it is not known.</returns>
    public async Task<PublishOutcome> RouteAsync(string virtualHost, AmqpMessage message, HashSet<long> stored)
    {
        try
        {
            var host = Hosts.Find(virtualHost);
            // This broker's image may be older than the exchange.
            if (host?.Topology.FindExchange(message.RoutedBy) is null)
                host = await Hosts.RefreshAsync(virtualHost).ConfigureAwait(false);
            return host?.Topology.FindExchange(message.RoutedBy) is null ? PublishOutcome.Accepted
                : await RouteAsync(host, message, stored).ConfigureAwait(false) ?? PublishOutcome.Accepted;
        }
        catch (BrokerException fault)
        {
            Log.Write(EngineLogLevel.Warning, $"A message to exchange '{message.Exchange}' waits: {fault.Message}");
            return PublishOutcome.Unknown;
        }
    }

    // Null: no queue. One that the message does not go to again, in a circle, is a queue. So is an exchange that delays it: what cannot be
    // delayed goes on at once, since its publisher is gone.
    private async Task<PublishOutcome?> RouteAsync(VirtualHostImage host, AmqpMessage message, HashSet<long>? stored)
    {
        var routed = Publication.RoutedOf(message);
        if (routed.IsDelayed && DelayedMessages.FaultOf(message) is not null)
            routed = routed with { IsDelayed = false };
        if (host.Routes.TargetsOf(message.RoutedBy, routed) is not { } targets)
        {
            _unroutable.Write(EngineLogLevel.Error, "A delayed message, or dead letter, reaches no queue until that changes, and is lost "
                + $"where dead letters are published at most once: {Publication.TooMuchRouting(message).Message}.");
            return PublishOutcome.Refused;
        }
        if (targets.Length == 0)
            return null;
        // As a queue has it.
        var stripped = Publication.WithoutBlindCopies(message.DelayedBy is null ? message : message with { DelayedBy = null });
        var published = new List<(RouteTarget Target, Task<PublishOutcome> Outcome)>();
        foreach (var target in targets)
        {
            if (stored?.Contains(target.Id) == true)
                continue;
            if (target.Kind == DestinationKind.Exchange)
                published.Add((target, Delays.PublishAsync(host.Name, message, target.Name)));
            else if (host.Topology.FindQueue(target.Name) is { } found && !DeadLetter.IsCycle(message, found.Name))
                published.Add((target, PublishAsync(host.Name, found, stripped)));
        }
        var worst = PublishOutcome.Accepted;
        foreach (var (target, publishing) in published)
        {
            var outcome = await publishing.ConfigureAwait(false);
            if (outcome == PublishOutcome.Unknown || (outcome == PublishOutcome.Refused && worst == PublishOutcome.Accepted))
                worst = outcome;
            else if (outcome != PublishOutcome.Refused)
                stored?.Add(target.Id);
            if (outcome == PublishOutcome.TooLarge)
                Log.Write(EngineLogLevel.Warning, $"{target.Kind} '{target.Name}' can never hold a message of {message.Body.Length} bytes "
                    + $"that exchange '{message.Exchange}' leads to it: it does not get this one.");
        }
        return worst;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        Hosts.Changed -= OnChanged;
        _declared.Writer.TryComplete();
        await _closed.CancelAsync().ConfigureAwait(false);
        _homes.Dispose();
        await Delays.DisposeAsync().ConfigureAwait(false);
        foreach (var opening in _entries.Values.Select(static entry => entry.Value))
        {
            // An opening may take long. Its queue is disposed all the same: nothing would end its watch.
            if (opening.IsCompleted)
                await DisposeOpenedAsync(opening).ConfigureAwait(false);
            else
                _ = DisposeOpenedAsync(opening);
        }
    }

    private static async Task DisposeOpenedAsync(Task<QueueEntry> opening)
    {
        await ((Task)opening).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (opening.IsCompletedSuccessfully)
            await (await opening.ConfigureAwait(false)).DisposeAsync().ConfigureAwait(false);
    }

    private void OnChanged(VirtualHostChange change)
    {
        foreach (var queue in change.EndedQueues())
            _ = EndAsync(change.VirtualHost, queue);
        foreach (var connection in GoneConnections(change))
            _ = EndConnectionAsync(change.VirtualHost, connection);
        if (change.Before?.Settings.FirstEpoch is { } ended && ended != change.After?.Settings.FirstEpoch)
            _ = Task.Run(() => Delays.EndAsync(change.VirtualHost, ended));
        if (change.After is { } host && AddedExchanges(change).Any(static exchange => exchange.Type == ExchangeTypes.Delayed))
            OpenDelays(host);
        if (change is { Before: { } before, After: { } after } && before.Settings.Policies != after.Settings.Policies)
            _ = Task.Run(() => ApplyPoliciesAsync(change.VirtualHost));
        else if (Hosts.IsShared && change.After is { } now && AddedQueues(change).Any(queue => IsActive(now, queue)))
            _ = Task.Run(() => ApplyPoliciesAsync(change.VirtualHost));
    }

    // A command that its owner carries out after the connection has ended, as one that a stopping broker forwards, leaves an exclusive
    // queue or a consumer that nobody has.
    private string[] GoneConnections(VirtualHostChange change) => !Hosts.IsShared || change.After is not { } after ? []
        : [.. (change.Edits is { } edits ? edits.Select(static edit => edit switch
            {
                PutQueue put => put.Queue.Owner,
                PutConsumer put => put.Consumer.Connection,
                _ => null,
            }).OfType<string>() : after.Topology.Connections)
            .Where(id => QueueHome.Of(id) == _home && !_open.ContainsKey(id)).Distinct()];

    private static IEnumerable<QueueState> AddedQueues(VirtualHostChange change) => change.Edits is { } edits
        ? edits.OfType<PutQueue>().Select(static edit => edit.Queue) : change.After!.Topology.Queues;

    private static IEnumerable<ExchangeState> AddedExchanges(VirtualHostChange change) => change.Edits is { } edits
        ? edits.OfType<PutExchange>().Select(static edit => edit.Exchange) : change.After!.Topology.Exchanges;

    // Has the delayed messages of a virtual host opened, and again after longer pauses until they are, or it is deleted.
    private void OpenDelays(VirtualHostImage host)
    {
        var (name, firstEpoch) = (host.Name, host.Settings.FirstEpoch);
        if (_repeatedDelays.TryAdd((name, firstEpoch), 0))
            _ = Task.Run(async () =>
            {
                await RepeatAsync(async () => Hosts.Find(name)?.Settings.FirstEpoch != firstEpoch
                    || await TryOpenDelaysAsync(name).ConfigureAwait(false), TimeSpan.Zero).ConfigureAwait(false);
                _repeatedDelays.TryRemove((name, firstEpoch), out _);
            });
    }

    private async Task<bool> TryOpenDelaysAsync(string virtualHost)
    {
        try
        {
            await Delays.OpenAsync(virtualHost).ConfigureAwait(false);
            return true;
        }
        catch (Exception fault)
        {
            // Whatever it is, it is tried again. If the virtual host is deleted, the next attempt finds that.
            if (!_closed.IsCancellationRequested && !(fault is BrokerException gone && LogQueue.IsGone(gone.Code)))
                _unopenedDelays.Write(EngineLogLevel.Warning, $"Delayed messages of virtual host '{virtualHost}' wait, since their queue "
                    + $"could not be opened, and is tried again: {fault.Message}");
            return false;
        }
    }

    private async Task ApplyPoliciesAsync(string virtualHost)
    {
        var gate = _applying.GetOrAdd(virtualHost, static _ => new SemaphoreSlim(1));
        await gate.WaitAsync().ConfigureAwait(false);
        try
        {
            if (Hosts.Find(virtualHost) is not { } host)
                return;
            foreach (var opening in _entries.Where(entry => entry.Key.VirtualHost == virtualHost).Select(static entry => entry.Value))
            {
                if (!opening.Value.IsCompleted)
                    _ = ApplyOnceOpenAsync(virtualHost, opening);
                else if (opening.Value.IsCompletedSuccessfully)
                    await ApplyAsync(host, await opening.Value.ConfigureAwait(false)).ConfigureAwait(false);
            }
            OpenActive(host);
        }
        finally
        {
            gate.Release();
        }
    }

    // A queue that is being opened may have its settings from before the change. The others do not wait for it.
    private async Task ApplyOnceOpenAsync(string virtualHost, Lazy<Task<QueueEntry>> opening)
    {
        if (await OpenedAsync(opening).ConfigureAwait(false) is not { } entry)
            return;
        var gate = _applying.GetOrAdd(virtualHost, static _ => new SemaphoreSlim(1));
        await gate.WaitAsync().ConfigureAwait(false);
        try
        {
            if (Hosts.Find(virtualHost) is { } host)
                await ApplyAsync(host, entry).ConfigureAwait(false);
        }
        finally
        {
            gate.Release();
        }
    }

    private async Task ApplyAsync(VirtualHostImage host, QueueEntry entry)
    {
        var settings = host.Settings.Policies.SettingsOf(entry.State);
        if (settings == entry.Settings)
            return;
        try
        {
            await entry.ApplyAsync(settings).ConfigureAwait(false);
        }
        catch (BrokerException gone) when (LogQueue.IsGone(gone.Code))
        {
            // It is deleted.
        }
        catch (BrokerException fault)
        {
            Log.Write(EngineLogLevel.Warning, $"Queue '{entry.State.Name}' keeps its settings until the broker starts again, or a policy "
                + $"changes: {fault.Message}");
        }
    }

    private async Task<QueueEntry> CreateAsync(string virtualHost, QueueState state)
    {
        var policies = Hosts.Find(virtualHost)?.Settings.Policies ?? PolicySet.Empty;
        var settings = policies.SettingsOf(state);
        ReportSlow(virtualHost, policies);
        if (!IsOnLog(state))
            return CreateInMemory(virtualHost, state, settings);
        using (await _topics.EnterAsync(virtualHost, state.Name).ConfigureAwait(false))
        {
            var log = await LogQueue.OpenAsync(_broker, virtualHost, state, settings, this, Time, Log,
                async () => (await Hosts.RefreshAsync(virtualHost).ConfigureAwait(false))?.Topology.FindQueue(state.Name)?.Id == state.Id,
                Hosts.IsShared ? IsLed : null, Copies).ConfigureAwait(false);
            return new QueueEntry(this, virtualHost, state, settings, state.Type != QueueType.Stream ? log : new StreamQueue(
                new StreamSource(_broker, log.Partition, state.Name, StandardCodecs.All, Time, Log), log));
        }
    }

    // Asked after the queue was registered: a deletion that follows finds it. A publisher may hold an image from before the deletion.
    private QueueEntry CreateInMemory(string virtualHost, QueueState state, QueueSettings settings)
    {
        if (Hosts.Find(virtualHost)?.Topology.FindQueue(state.Name)?.Id == state.Id)
            return new QueueEntry(this, virtualHost, state, settings, IsHome(state) ? new MemoryQueue(state, settings, this, Time, Memory)
                : new RemoteQueue(_homes, state.Keeper!, TargetOf(virtualHost, state)));
        _entries.TryRemove((virtualHost, state.Id), out _);
        throw new BrokerException(ErrorCode.UnknownTopicOrPartition, $"Queue '{state.Name}' is deleted.");
    }

    /// <summary>Whether a queue is on the log; if not, it is in the memory of its home. A queue on the log stays there.</summary>
    public bool IsOnLog(QueueState queue) => queue.Durable || (Hosts.IsShared && queue.Keeper is null);

    /// <summary>Whether this gateway is the home of a queue in memory.</summary>
    public bool IsHome(QueueState queue) => !Hosts.IsShared || (queue.Keeper is { } keeper && QueueHome.Of(keeper) == _home);

    /// <summary>Whether a queue in memory has ended with its broker, and the owner of the virtual hosts has not heard of that.</summary>
    public bool HasLostHome(QueueState queue) =>
        Hosts.IsShared && queue.Keeper is { } keeper && _host.Peers.HasEnded(QueueHome.Of(keeper).Incarnation);

    private static HomeTarget TargetOf(string virtualHost, QueueState queue) => new(virtualHost, queue.Name, queue.Id);

    private bool IsLed(TopicPartition partition) =>
        _host.Metadata.Image.FindServed(partition.Topic) is { } topic && topic.Partitions[partition.Partition].Leader is var leader
        && (leader < 0 || leader == _host.BrokerId);

    private async Task EndOnceAsync(string virtualHost, QueueState queue)
    {
        try
        {
            if (_entries.TryRemove((virtualHost, queue.Id), out var opening) && await OpenedAsync(opening).ConfigureAwait(
                false) is { } entry)
            {
                await entry.EndAsync().ConfigureAwait(false);
                if (entry.Queue is MemoryQueue or RemoteQueue)
                    await entry.Queue.DeleteAsync().ConfigureAwait(false);
            }
            if (IsOnLog(queue))
                await DeleteTopicAsync(virtualHost, queue).ConfigureAwait(false);
        }
        catch (BrokerException fault)
        {
            Log.Write(EngineLogLevel.Warning, $"The topic of the deleted queue '{queue.Name}' was not deleted: {fault.Message}");
        }
        finally
        {
            // Asked again, it finds nothing to do.
            _ends.TryRemove((virtualHost, queue.Id), out _);
        }
    }

    private async Task DeleteTopicAsync(string virtualHost, QueueState queue)
    {
        using (await _topics.EnterAsync(virtualHost, queue.Name).ConfigureAwait(false))
            await LogQueue.DeleteTopicAsync(_broker, virtualHost, queue).ConfigureAwait(false);
    }

    private static async Task<QueueEntry?> OpenedAsync(Lazy<Task<QueueEntry>> opening)
    {
        try
        {
            return await opening.Value.ConfigureAwait(false);
        }
        catch (BrokerException)
        {
            return null;
        }
    }

    // A queue to be opened in the background.
    private sealed record UnopenedQueue(string VirtualHost, string Queue, long Id);
}

/// <summary>Who is told that a queue ended.</summary>
internal interface IQueueConsumer
{
    /// <summary>The queue is deleted.</summary>
    void QueueEnded();
}

/// <summary>An open queue and its consumers. Thread safe.</summary>
internal sealed class QueueEntry : IAsyncDisposable
{
    private readonly QueueRegistry _registry;
    private readonly Lock _lock = new();
    private readonly Dictionary<IQueueConsumer, string> _consumers = [];
    private readonly DueTimer _expiry;
    private QueueSettings _settings;
    private bool _hasEnded;
    private bool _isUseUnknown;
    private long _usedAt;

    public QueueEntry(QueueRegistry registry, string virtualHost, QueueState state, QueueSettings settings, IAmqpQueue queue)
    {
        (_registry, VirtualHost, State, _settings, Queue) = (registry, virtualHost, state, settings, queue);
        _usedAt = registry.Time.GetTimestamp();
        _expiry = new DueTimer(registry.Time, EndIfExpired);
        ArmExpiry();
    }

    /// <summary>The virtual host.</summary>
    public string VirtualHost { get; }

    /// <summary>The queue.</summary>
    public QueueState State { get; }

    /// <summary>How it delivers.</summary>
    public QueueSettings Settings => Volatile.Read(ref _settings);

    /// <summary>Its messages.</summary>
    public IAmqpQueue Queue { get; }

    /// <summary>The number of consumers, those of other brokers too.</summary>
    public int Consumers => _registry.Hosts.Find(VirtualHost)?.Topology.ConsumersOf(State).Count ?? 0;

    /// <summary>Takes new settings, since a policy has changed. Not two at a time.</summary>
    /// <exception cref="BrokerException">They cannot be stored.</exception>
    public async Task ApplyAsync(QueueSettings settings)
    {
        await Queue.ApplyAsync(settings).ConfigureAwait(false);
        Volatile.Write(ref _settings, settings);
        ArmExpiry();
    }

    /// <summary>It was declared again, or read: it does not expire for its time.</summary>
    public void Used()
    {
        Volatile.Write(ref _usedAt, _registry.Time.GetTimestamp());
        Volatile.Write(ref _isUseUnknown, true);
    }

    /// <summary>Adds a consumer.</summary>
    /// <param name="consumer">The consumer.</param>
    /// <param name="connection">Its connection.</param>
    /// <param name="isExclusive">Whether it is to be the only one.</param>
    /// <exception cref="AmqpRefusedException">It is refused.</exception>
    /// <exception cref="BrokerException">The outcome is unknown. The connection's end removes it.</exception>
    /// <exception cref="QueueGoneException">The queue is deleted.</exception>
    public async ValueTask AddAsync(IQueueConsumer consumer, string connection, bool isExclusive)
    {
        var id = Guid.NewGuid().ToString("n");
        lock (_lock)
            _consumers.Add(consumer, id);
        try
        {
            await _registry.Hosts.SendAsync(VirtualHost, new AddConsumer(new QueueConsumer
            {
                Queue = State.Name,
                QueueId = State.Id,
                Id = id,
                Connection = connection,
                Exclusive = isExclusive,
            })).ConfigureAwait(false);
        }
        catch
        {
            lock (_lock)
                _consumers.Remove(consumer);
            ArmExpiry();
            throw;
        }
        lock (_lock)
        {
            if (_hasEnded)
                throw new QueueGoneException();
        }
    }

    /// <summary>Removes a consumer. A queue that is deleted automatically ends with its last one.</summary>
    public ValueTask RemoveAsync(IQueueConsumer consumer)
    {
        string? id;
        lock (_lock)
        {
            if (!_consumers.Remove(consumer, out id))
                return default;
            Volatile.Write(ref _usedAt, _registry.Time.GetTimestamp());
            if (_hasEnded)
                return default;
        }
        ArmExpiry();
        return new(RemoveAsync(id));
    }

    private async Task RemoveAsync(string id)
    {
        if (await _registry.TellOwnerAsync(VirtualHost, new RemoveConsumer(State.Name, State.Id, id),
            $"Queue '{State.Name}' keeps a consumer that has gone").ConfigureAwait(false))
            await EndIfDeletedAsync().ConfigureAwait(false);
    }

    /// <summary>The queue is deleted: its consumers are told.</summary>
    public async ValueTask EndAsync()
    {
        IQueueConsumer[] consumers;
        lock (_lock)
        {
            _hasEnded = true;
            consumers = [.. _consumers.Keys];
            _consumers.Clear();
        }
        foreach (var consumer in consumers)
            consumer.QueueEnded();
        await _expiry.DisposeAsync().ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _expiry.DisposeAsync().ConfigureAwait(false);
        await Queue.DisposeAsync().ConfigureAwait(false);
    }

    private TimeSpan Elapsed => _registry.Time.GetElapsedTime(Volatile.Read(ref _usedAt));

    // Between two looks of a queue that is used elsewhere, or could not be ended.
    private static TimeSpan PeriodOf(TimeSpan expires) =>
        TimeSpan.FromTicks(Math.Clamp(expires.Ticks / 4, TimeSpan.FromSeconds(1).Ticks, TimeSpan.FromMinutes(1).Ticks));

    // A queue with consumers here waits for no time: the last one's end arms it. An exclusive one is used at its home only.
    private void ArmExpiry()
    {
        if (Settings.Expires is not { } expires || (Queue is RemoteQueue && State.Owner is not null))
            return;
        lock (_lock)
        {
            if (_hasEnded || _consumers.Count > 0)
                return;
        }
        var left = expires - Elapsed;
        _expiry.Arm(_registry.Time.GetTimestamp(), left <= TimeSpan.Zero || _registry.Hosts.IsShared ? PeriodOf(expires) : left);
    }

    // Of several brokers each tells the owner of its uses four times in the period, once a second at most: a queue that the owner has not
    // heard of for one and a half, or two seconds longer than one, was not used for one.
    private void EndIfExpired()
    {
        if (Settings.Expires is not { } expires)
            return;
        var isShared = _registry.Hosts.IsShared;
        bool isUsed;
        lock (_lock)
            isUsed = _hasEnded || _consumers.Count > 0 || Consumers > 0;
        if (isShared && !isUsed && Interlocked.Exchange(ref _isUseUnknown, false))
            _ = ReportUseAsync();
        else if (!isUsed && Elapsed >= expires)
            _ = ExpireAsync(new EndQueue(State.Name, State.Id, isShared ? UnheardOf(expires) : TimeSpan.Zero));
        ArmExpiry();
    }

    private static TimeSpan UnheardOf(TimeSpan expires) =>
        expires + TimeSpan.FromTicks(Math.Max(expires.Ticks / 2, 2 * PeriodOf(expires).Ticks));

    private async Task ReportUseAsync()
    {
        try
        {
            await _registry.Hosts.SendAsync(VirtualHost, new UseQueue(State.Name, State.Id)).ConfigureAwait(false);
        }
        catch (Exception fault) when (fault is BrokerException or AmqpRefusedException)
        {
            Volatile.Write(ref _isUseUnknown, true);
            _registry.Log.Write(EngineLogLevel.Warning, $"Queue '{State.Name}' may expire too early: {fault.Message}");
        }
    }

    // The owner decides whether the queue ends.
    private async Task ExpireAsync(EndQueue end)
    {
        try
        {
            await _registry.Hosts.SendAsync(VirtualHost, end).ConfigureAwait(false);
            await EndIfDeletedAsync().ConfigureAwait(false);
        }
        catch (Exception fault) when (fault is BrokerException or AmqpRefusedException)
        {
            _registry.Log.Write(EngineLogLevel.Warning, $"Queue '{State.Name}' has expired, and stays for now: {fault.Message}");
        }
    }

    private async Task EndIfDeletedAsync()
    {
        if (_registry.Hosts.Find(VirtualHost)?.Topology.FindQueue(State.Name)?.Id != State.Id)
            await _registry.EndAsync(VirtualHost, State).ConfigureAwait(false);
    }
}
