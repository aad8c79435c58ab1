using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Replication;
using OrleansMq.Grains.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Grains.Topics;

// Replicated clusters: the metadata, and the repair of topics after a crash.
internal sealed partial class ClusterGrain
{
    // How long a change waits for brokers that do not answer: longer than an answer takes, shorter than the detection of a death.
    private static readonly TimeSpan PushTime = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan GoneTime = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan HousekeepingInterval = TimeSpan.FromSeconds(3);
    // Where the options name none.
    private const short AutomaticReplicationFactor = 3;

    // Topics that are created or deleted. The end of the activation waits for them.
    private readonly TopicChanges _changes = new();
    private readonly CancellationTokenSource _retired = new();
    private bool _retiring;
    // Topics whose creation failed and whose remains could not be removed yet.
    private readonly HashSet<Guid> _toUndo = [];
    // Partitions that were placed.
    private int _placed;
    // Null if nothing is replicated.
    private ClusterController? _controller;
    private RebalanceRunner? _runner;
    private IClusterAdministration _administration = SoleBrokerAdministration.Instance;

    private ClusterController Controller => _controller
        ?? throw new BrokerException(ErrorCode.InvalidRequest, "This cluster is one broker that replicates nothing.");

    /// <inheritdoc/>
    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        if (_broker.Cluster is not { } options || !IsTheCluster)
            return;
        var membership = _services.GetRequiredService<ClusterMembership>();
        var publisher = new ImagePublisher<ClusterImage>(
            new ClusterImageTransport(_services.GetRequiredService<ReplicaServices>()), membership, _broker.Options.Log);
        publisher.Superseded += () => _ = RetireAsync();
        _catalogue.Superseded += () => _ = RetireAsync();
        var controller = new ClusterController(_broker, membership, _services.GetRequiredService<IPartitionStates>(),
            Document<BrokerRegistry>("brokers"), publisher, ReadTopicAsync);
        controller.Superseded += () => _ = RetireAsync();
        try
        {
            await controller.StartAsync(_catalogue);
        }
        catch
        {
            await controller.DisposeAsync();
            throw;
        }
        _controller = controller;
        _services.GetRequiredService<ControllerSeat>().Take(this);
        _runner = new RebalanceRunner(_broker, controller, Document<RebalanceJob>("rebalance"), GrainFactory, options.RebalanceSettleTime,
            options.AutoLeaderRebalance);
        _administration = new ClusterAdministration(_broker, controller, _runner, membership,
            _services.GetRequiredService<ReplicaServices>(),
            _services.GetRequiredService<LeaderServiceClient>(), GrainFactory);
        _runner.Start();
        _broker.Log(EngineLogLevel.Information,
            $"Broker {_broker.Options.BrokerId} controls the cluster's metadata from version {controller.Image.Version} on.");
        this.RegisterGrainTimer(HousekeepAsync, new GrainTimerCreationOptions(TimeSpan.Zero, HousekeepingInterval));
    }

    /// <inheritdoc/>
    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        if (_runner is not null)
            await _runner.DisposeAsync();
        if (_controller is null)
            return;
        _services.GetRequiredService<ControllerSeat>().Leave(this);
        await _controller.DisposeAsync();
    }

    /// <inheritdoc/>
    public Task HelloAsync(RegistrationRecord registration, long version) => Controller.HelloAsync(registration.ToRegistration(), version);

    /// <inheritdoc/>
    public Task ReportLeadershipAsync(int broker, LeadershipRecord[] reports, bool isComplete)
    {
        Controller.Take(broker, [.. reports.Select(report => report.ToReport())], isComplete);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task ConfirmDeletedAsync(int broker, Guid[] topicIds)
    {
        RefuseIfRetired(); // The next controller's image would list them for ever.
        Controller.Confirm(broker, topicIds);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<int[][]> PlaceAsync(int count, int replicationFactor)
    {
        RefuseIfRetired();
        var turn = _placed;
        _placed = (_placed + count) % 1_000_000;
        return Task.FromResult(ReplicaAssignment.Assign(Controller.Image, count, replicationFactor, turn)
            .Next.Select(replicas => replicas.ToArray()).ToArray());
    }

    /// <inheritdoc/>
    public async Task AnnounceAsync(TopicRecord topic, int first, int[][] replicas)
    {
        await Controller.UpdateEverywhereAsync(
            image => image.Deleted.Contains(topic.TopicId) ? image
            : image.WithTopic(topic.ToTopic(image.Topics.GetValueOrDefault(topic.TopicId), first, replicas)),
            PushTime);
        RefuseIfRetired(); // A retired activation's image does not reach the brokers.
    }

    /// <inheritdoc/>
    public Task RequireCodecAsync(CompressionType codec)
    {
        RefuseIfRetired();
        return Controller.Registry.WhyMissing(codec) is { } missing
            ? throw new BrokerException(ErrorCode.InvalidConfig, missing)
            : Task.CompletedTask;
    }

    private ClusterDescription DescribeReplicated() => ClusterDescriptions.Describe(Controller.Image, _broker.Cluster!.ClusterId,
        topic => TopicConfigRules.Parse(topic.Configs, _broker.Options.TopicDefaults.ForReplicas(topic.ReplicationFactor))
        is { IsAccepted: true, Next: var config }
            ? config.MinInsyncReplicas
            : 1);

    private TopicLimits Limits()
    {
        if (_controller is null)
            return _broker.Limits;
        var brokers = _controller.Image.Brokers.Values.Count(broker => broker.TakesReplicas);
        var wanted = _broker.Cluster!.DefaultReplicationFactor;
        return new TopicLimits(_broker.Options.TopicDefaults, _broker.Options.DefaultPartitions,
            (short)(wanted > 0 ? wanted : AutomaticReplicationFactor), brokers,
            WhyMissing: _controller.Registry.WhyMissing, CanGrow: true);
    }

    private Task ChangeAsync(string topic, Func<TopicCatalogue, TopicCatalogue> change) =>
        _catalogue.ChangeAsync(topic, change, _controller is { } controller ? controller.OnStored : null);

    // For all registered brokers: one that is down now deletes its replicas later.
    private TopicCatalogue Leave(TopicCatalogue page, Guid topicId) => _controller is null
        ? page
        : _controller.ClearLeftovers(page.AddLeftovers(topicId, _controller.Registry.Brokers.Keys));

    private async Task GoneAsync(Guid topicId)
    {
        if (_controller is null)
            return;
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(_retired.Token);
        deadline.CancelAfter(GoneTime);
        await _controller.WaitUntilGoneAsync(topicId, deadline.Token);
    }

    /// <summary>Begins the creation or deletion of a topic, during which topics and brokers call back. The activation does not end before
    /// that completes.</summary>
    private async Task<IDisposable> BeginAsync(string topic) => UnlessRetired(await _changes.BeginAsync(topic));

    private IDisposable UnlessRetired(IDisposable change)
    {
        try
        {
            RefuseIfRetired();
            return change;
        }
        catch (BrokerException)
        {
            change.Dispose();
            throw;
        }
    }

    private void RefuseIfRetired()
    {
        if (_retired.IsCancellationRequested)
            throw Catalogue.Lost();
    }

    /// <summary>Refuses new work, and deactivates when the current work has ended. A deactivating activation waits for its work but takes
    /// no calls; those that a creation waits for come through <see cref="ControllerSeat"/>. Several brokers may tell that there is a later
    /// controller.</summary>
    private async Task RetireAsync()
    {
        if (Interlocked.Exchange(ref _retiring, true))
            return;
        await _retired.CancelAsync();
        await _changes.EndAsync();
        DeactivateOnIdle();
        _changes.Release();
    }

    // One topic that cannot be finished keeps no other from it.
    private async Task HousekeepAsync(CancellationToken cancellationToken)
    {
        try
        {
            var pages = await _catalogue.ReadAllAsync();
            for (var number = 0; number < pages.Count; number++)
            {
                if (pages[number].Leftovers is not null && !_retired.IsCancellationRequested)
                    await _catalogue.ChangeAsync(number, Controller.ClearLeftovers, Controller.OnStored);
            }
            foreach (var (name, entry) in pages.SelectMany(page => page.Topics).Where(topic => IsInterrupted(topic.Value)))
                await TryFinishAsync(name, entry.TopicId);
            foreach (var topic in Controller.Image.Topics.Values)
            {
                if (ReplicaGrowth.Reached(topic) is { } reached)
                    await TryRaiseAsync(topic, reached);
            }
        }
        catch (Exception failure) when (failure is BrokerException or TimeoutException or OrleansException)
        {
            _broker.Log(EngineLogLevel.Warning, "Could not read or write the list of topics; this is retried.", failure);
        }
    }

    private bool IsInterrupted(TopicCatalogueEntry entry) =>
        entry.Status is TopicStatus.Creating or TopicStatus.Deleting || _toUndo.Contains(entry.TopicId) || IsGrowing(entry.TopicId);

    // With the topic's turn, since a change under way looks like an interrupted one.
    private async Task TryFinishAsync(string name, Guid topicId)
    {
        try
        {
            if (await _changes.TryBeginAsync(name) is not { } begun)
                return;
            using var _ = UnlessRetired(begun);
            if (!(await _catalogue.ReadAsync(name)).Topics.TryGetValue(name, out var entry) || entry.TopicId != topicId)
                return;
            await FinishInterruptedAsync(name);
            if (entry.Status == TopicStatus.Active && IsGrowing(topicId))
                await FinishAsync(name, topicId);
        }
        catch (Exception failure) when (failure is BrokerException or TimeoutException or OrleansException)
        {
            _broker.Log(EngineLogLevel.Warning,
                $"Could not complete an interrupted creation or deletion of topic '{name}'; it will be retried.", failure);
        }
    }

    private async Task TryRaiseAsync(ImageTopic topic, short reached)
    {
        try
        {
            if (await _changes.TryBeginAsync(topic.Name) is not { } begun)
                return;
            using var _ = UnlessRetired(begun);
            if (await Owner(topic.Name).RaiseAsync(topic.TopicId, reached, topic.Partitions.Length))
                _broker.Log(EngineLogLevel.Information,
                    $"Topic '{topic.Name}' has {reached} of its {topic.IntendedReplicationFactor} replicas now.");
        }
        catch (Exception failure) when (failure is BrokerException or TimeoutException or OrleansException or TypeLoadException)
        {
            _broker.Log(EngineLogLevel.Warning,
                $"Could not store the replication factor {reached} that topic '{topic.Name}' has reached; it will be retried.", failure);
        }
    }

    private bool IsGrowing(Guid topicId) =>
        Controller.Image.Topics.TryGetValue(topicId, out var topic) && topic.Partitions.Length > topic.Serving;

    private async Task FinishAsync(string name, Guid topicId)
    {
        if (await Owner(name).FinishAsync(topicId))
            await ChangeAsync(name, page => page.Topics.TryGetValue(name, out var entry) && entry is { Status: TopicStatus.Creating }
                && entry.TopicId == topicId
                ? page.FinishCreate(name, topicId)
                : page);
        else
            await DeleteAsync(name);
    }

    private Task<TopicState?> ReadTopicAsync(string name) =>
        new GrainDocument<TopicState>(_storage, TopicGrain.DocumentType, GrainId.Create(TopicGrain.TypeName, name))
            .ReadAsync().AsTask();

    private GrainDocument<T> Document<T>(string type) where T : class => new(_storage, type, this.GetGrainId());
}
