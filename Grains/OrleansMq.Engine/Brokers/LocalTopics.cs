using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Partitions;
using OrleansMq.State;
using OrleansMq.Topics;

namespace OrleansMq.Brokers;

/// <summary>
/// The topics of one broker: decides by <see cref="TopicCatalogue"/> and <see cref="TopicState"/>, writes their documents, makes and
/// deletes partitions, and holds what is served. One change at a time; look-ups take no lock.
/// </summary>
internal sealed class LocalTopics
{
    private readonly ConcurrentDictionary<string, ServedTopic> _served = new(StringComparer.Ordinal);
    private readonly Dictionary<string, StoredDocument<TopicState>> _documents;
    private readonly SemaphoreSlim _gate = new(1, 1);
    private readonly IStateStore _store;
    private readonly BrokerOptions _options;
    private readonly PartitionStore _partitions;
    private readonly Catalogue _catalogue;
    private readonly ConcurrentDictionary<string, string> _damaged;
    private readonly SoleBrokerMetadata? _metadata;
    private bool _closed;

    private LocalTopics(IStateStore store, BrokerOptions options, PartitionStore partitions, StoredTopics stored,
        SoleBrokerMetadata? metadata)
    {
        _store = store;
        _metadata = metadata;
        _options = options;
        _partitions = partitions;
        _catalogue = stored.Catalogue;
        _documents = stored.Documents;
        _damaged = new ConcurrentDictionary<string, string>(stored.Damaged, StringComparer.Ordinal);
    }

    /// <summary>All topics that are served.</summary>
    public IEnumerable<ServedTopic> Served => _served.Values;

    /// <summary>Takes up what is stored: serves topics, and finishes or undoes what a crash interrupted.</summary>
    /// <param name="store">The documents.</param>
    /// <param name="options">The broker's.</param>
    /// <param name="partitions">The partitions on its disk.</param>
    /// <param name="stored">What was read from the documents.</param>
    /// <param name="metadata">Told of every topic that is served, and no more served; null where nobody asks.</param>
    public static async Task<LocalTopics> OpenAsync(IStateStore store, BrokerOptions options, PartitionStore partitions,
        StoredTopics stored,
        SoleBrokerMetadata? metadata = null)
    {
        var topics = new LocalTopics(store, options, partitions, stored, metadata);
        foreach (var (name, action) in stored.Actions)
            await topics.TryRecoverAsync(name, action, stored).ConfigureAwait(false);
        var self = new BrokerRegistration { BrokerId = options.BrokerId.Value, Codecs = BrokerRegistration.NamesOf(options.Codecs) };
        if (MissingCodecs.Describe(self, topics.Served.Select(static topic => (topic.State.Name, topic.Config.CompressionType)))
            is { } warning)
            options.Log.Write(EngineLogLevel.Warning, warning);
        return topics;
    }

    /// <summary>The topic, if it is served.</summary>
    public bool TryGet(string name, [NotNullWhen(true)] out ServedTopic? topic) => _served.TryGetValue(name, out topic);

    /// <summary>The topic, or why there is none.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>,
    /// <see cref="ErrorCode.KafkaStorageError"/>.</exception>
    public ServedTopic Get(string name)
    {
        if (TryGet(name, out var topic))
            return topic;
        var (error, message) = WhyNot(name);
        throw new BrokerException(error, message);
    }

    /// <summary>Why a topic that is asked for is not served.</summary>
    public (ErrorCode Error, string Message) WhyNot(string name) => _damaged.TryGetValue(name, out var reason)
        ? (ErrorCode.KafkaStorageError, reason)
        : (ErrorCode.UnknownTopicOrPartition, TopicCatalogue.UnknownTopic(name));

    /// <summary>Creates a topic.</summary>
    public Task<ServedTopic> CreateAsync(NewTopic request, CancellationToken cancellationToken) => OneAtATimeAsync(
        $"Topic '{request.Name}' was not created", async () =>
    {
        var topicId = Guid.CreateVersion7(_options.TimeProvider.GetUtcNow());
        var page = await _catalogue.ReadAsync(request.Name).ConfigureAwait(false);
        // One change at a time: what is neither whole nor served is what a failed change left, and has no records to keep.
        if (page.Topics.TryGetValue(request.Name, out var left) && left.Status != TopicStatus.Active && !_served.ContainsKey(request.Name))
        {
            await FinishDeleteAsync(request.Name, left.TopicId).ConfigureAwait(false);
            page = await _catalogue.ReadAsync(request.Name).ConfigureAwait(false);
        }
        var creation = page.BeginCreate(request, topicId, LimitsOf(_options)).Next;
        await _catalogue.ChangeAsync(request.Name, _ => creation.Catalogue).ConfigureAwait(false);
        try
        {
            var document = DocumentOf(request.Name);
            await document.WriteAsync(creation.Topic).ConfigureAwait(false);
            return await FinishCreateAsync(creation.Topic, creation.Config).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            await UndoAsync(creation.Topic, exception).ConfigureAwait(false);
            throw;
        }
    }, cancellationToken);

    /// <summary>Deletes a topic and frees its disk.</summary>
    /// <param name="name">The topic.</param>
    /// <param name="topicId">The id that it must have; null for any.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task DeleteAsync(string name, Guid? topicId, CancellationToken cancellationToken) => OneAtATimeAsync(
        $"Topic '{name}' was not deleted completely; delete it again", async () =>
    {
        var deleting = (await _catalogue.ReadAsync(name).ConfigureAwait(false)).BeginDelete(name, topicId).Next;
        await _catalogue.ChangeAsync(name, _ => deleting).ConfigureAwait(false);
        await FinishDeleteAsync(name, deleting.Topics[name].TopicId).ConfigureAwait(false);
        return true;
    }, cancellationToken);

    /// <summary>Changes a topic's configuration, in force for every partition when it returns.</summary>
    public Task<ServedTopic> AlterAsync(string name, IReadOnlyDictionary<string, string?> changes,
        CancellationToken cancellationToken) => OneAtATimeAsync(
        $"Topic '{name}' was not altered", async () =>
    {
        var topic = Get(name);
        var altered = topic.State.Alter(changes, _options.TopicDefaults, _options.Codecs).Next;
        var config = TopicConfigRules.Parse(altered.Configs, _options.TopicDefaults).Next;
        await DocumentOf(name).WriteAsync(altered).ConfigureAwait(false);
        foreach (var partition in topic.Partitions)
            partition?.UpdateConfig(config);
        return Serve(altered, config);
    }, cancellationToken);

    /// <summary>Adds partitions to a topic.</summary>
    public Task<ServedTopic> AddPartitionsAsync(string name, int totalCount, CancellationToken cancellationToken) => OneAtATimeAsync(
        $"Topic '{name}' did not get its partitions", async () =>
    {
        var topic = Get(name);
        var growing = topic.State.BeginAddPartitions(totalCount).Next;
        await DocumentOf(name).WriteAsync(growing).ConfigureAwait(false);
        return await FinishAddPartitionsAsync(growing, topic.Config).ConfigureAwait(false);
    }, cancellationToken);

    /// <summary>Waits for the change that is going on, and refuses all later ones.</summary>
    public async ValueTask CloseAsync()
    {
        await _gate.WaitAsync().ConfigureAwait(false);
        _closed = true;
        _gate.Release();
    }

    /// <summary>What a topic is created with on the one broker there is.</summary>
    private static TopicLimits LimitsOf(BrokerOptions options) => new(options.TopicDefaults, options.DefaultPartitions,
        Codecs: options.Codecs);

    // What keeps one topic from being finished (a full disk, say) keeps no other from being served.
    private async Task TryRecoverAsync(string name, TopicRecoveryAction action, StoredTopics stored)
    {
        try
        {
            await RecoverAsync(name, action, stored).ConfigureAwait(false);
        }
        catch (Exception exception) when (IsStorageFault(exception) || exception is BrokerException)
        {
            var reason = $"Topic '{name}' is as an interrupted change left it, which could not be finished: {exception.Message} "
                + "Restart the broker when that is mended.";
            Log(EngineLogLevel.Error, reason);
            if (!_served.ContainsKey(name))
                _damaged[name] = reason;
        }
    }

    private async Task RecoverAsync(string name, TopicRecoveryAction action, StoredTopics stored)
    {
        switch (action)
        {
            case TopicRecoveryAction.Serve:
                Serve(stored.States[name], stored.Configs[name]);
                break;
            case TopicRecoveryAction.FinishCreate:
                Log(EngineLogLevel.Information, $"Finishing the creation of topic '{name}', which was interrupted.");
                await FinishCreateAsync(stored.States[name], stored.Configs[name]).ConfigureAwait(false);
                break;
            case TopicRecoveryAction.FinishAddPartitions:
                Log(EngineLogLevel.Information, $"Finishing to add partitions to topic '{name}', which was interrupted.");
                Serve(stored.States[name], stored.Configs[name]);
                await FinishAddPartitionsAsync(stored.States[name], stored.Configs[name]).ConfigureAwait(false);
                break;
            case TopicRecoveryAction.UndoCreate or TopicRecoveryAction.FinishDelete:
                Log(EngineLogLevel.Information, $"Finishing the deletion of topic '{name}', which was interrupted.");
                var page = await _catalogue.ReadAsync(name).ConfigureAwait(false);
                await FinishDeleteAsync(name, page.Topics[name].TopicId).ConfigureAwait(false);
                break;
            default:
                Invariant.Check(action == TopicRecoveryAction.Damaged, "Every topic has a way to recover");
                Log(EngineLogLevel.Error, _damaged[name]);
                break;
        }
    }

    // After: catalogue Creating -> topic document Creating.
    private async Task<ServedTopic> FinishCreateAsync(TopicState topic, TopicConfig config)
    {
        await MakePartitionsAsync(topic, 0, topic.Partitions, config).ConfigureAwait(false);
        var active = topic.Activate();
        await DocumentOf(topic.Name).WriteAsync(active).ConfigureAwait(false);
        await _catalogue.ChangeAsync(topic.Name, page => page.FinishCreate(topic.Name, topic.TopicId)).ConfigureAwait(false);
        return Serve(active, config);
    }

    // After: topic document with GrowingTo.
    private async Task<ServedTopic> FinishAddPartitionsAsync(TopicState growing, TopicConfig config)
    {
        var grown = growing.FinishAddPartitions();
        await MakePartitionsAsync(growing, growing.Partitions, grown.Partitions, config).ConfigureAwait(false);
        await DocumentOf(growing.Name).WriteAsync(grown).ConfigureAwait(false);
        return Serve(grown, config);
    }

    // After: catalogue Deleting, or a creation that failed.
    private async Task FinishDeleteAsync(string name, Guid topicId)
    {
        _served.TryRemove(name, out _);
        _metadata?.Remove(topicId);
        await Task.WhenAll(_partitions.Partitions.Where(partition => partition.TopicId == topicId)
            .Select(partition => _partitions.DeleteAsync(partition.TopicPartition))).ConfigureAwait(false);
        await DocumentOf(name).DeleteAsync().ConfigureAwait(false);
        _documents.Remove(name);
        await _catalogue.ChangeAsync(name, page => page.Forget(name, topicId)).ConfigureAwait(false);
        _damaged.TryRemove(name, out _);
    }

    // A topic could not be made: take away what there is of it, the partitions first, since a full disk needs their room to write that they
    // are gone. A crash in between leaves a creation to finish or to undo. What cannot be taken away now, the next start finishes.
    private async Task UndoAsync(TopicState topic, Exception cause)
    {
        Log(EngineLogLevel.Warning, $"Topic '{topic.Name}' could not be created; undoing it.", cause);
        try
        {
            await FinishDeleteAsync(topic.Name, topic.TopicId).ConfigureAwait(false);
        }
        catch (Exception exception) when (IsStorageFault(exception) || exception is BrokerException)
        {
            Log(EngineLogLevel.Warning, $"What was made of topic '{topic.Name}' could not be removed. Delete the topic, or restart "
                + "the broker.", exception);
        }
    }

    // All of them end before this does, so that an undo finds every one.
    private Task MakePartitionsAsync(TopicState topic, int first, int end, TopicConfig config) => Task.WhenAll(
        Enumerable.Range(first, end - first).Select(number =>
            _partitions.GetOrCreateAsync(new TopicPartition(topic.Name, number), topic.TopicId, config)));

    private ServedTopic Serve(TopicState state, TopicConfig config)
    {
        var partitions = new Partition?[state.Partitions];
        for (var number = 0; number < partitions.Length; number++)
        {
            var name = new TopicPartition(state.Name, number);
            if (_partitions.TryGet(name, out var found) && found.TopicId == state.TopicId)
                partitions[number] = found;
            else
                Log(EngineLogLevel.Error, MissingReason(name));
        }
        var served = _served[state.Name] = new ServedTopic(state, config, partitions);
        _metadata?.Set(state, number => partitions[number] is not null);
        return served;
    }

    /// <summary>What is said of a partition that the topic has and the disk has not.</summary>
    public string MissingReason(TopicPartition partition) =>
        $"The directory '{Path.Combine(DataDirectory.LogsPathOf(_options.DataDirectory), partition.ToString())}' of partition "
            + $"{partition} is missing. Restore it and restart the broker, or delete the topic.";

    private StoredDocument<TopicState> DocumentOf(string name) => _documents.TryGetValue(name, out var document)
        ? document
        : _documents[name] = new StoredDocument<TopicState>(_store, TopicState.KeyOf(name), TopicJson.Default.TopicState);

    private async Task<T> OneAtATimeAsync<T>(string failure, Func<Task<T>> change, CancellationToken cancellationToken)
    {
        await _gate.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_closed)
                throw new BrokerException(ErrorCode.LeaderNotAvailable,
                    $"{failure}: the broker is shutting down. Retry when it is up again.");
            return await change().ConfigureAwait(false);
        }
        catch (Exception exception) when (IsStorageFault(exception))
        {
            throw new BrokerException(ErrorCode.KafkaStorageError, $"{failure}: {exception.Message}", exception);
        }
        finally
        {
            _gate.Release();
        }
    }

    private static bool IsStorageFault(Exception exception) =>
        exception is IOException or UnauthorizedAccessException or StateConflictException;

    private void Log(EngineLogLevel level, string message, Exception? exception = null) => _options.Log.Write(level, message, exception);
}
