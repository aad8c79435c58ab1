using System.Collections.Immutable;
using System.Security.Cryptography;
using OrleansMq.Diagnostics;
using OrleansMq.State;

namespace OrleansMq.VirtualHosts;

/// <summary>
/// The owner of one virtual host: it decides on every command, stores what is durable, and publishes the image. Thread safe.
/// <para>
/// <b>State.</b> The working state (settings and topology), the etags of the documents, the epoch of this owner, and the image. The image
/// shows stored changes only. What is not durable is in memory; a new owner is given the newest image, and takes it from there.
/// </para>
/// <para>
/// <b>Transitions.</b> One loop takes the commands that wait, decides on them in order, and writes the shards that they change at once,
/// each shard once. Then it publishes the image, and answers in order. So an answer, a refusal too, reveals nothing that is not stored, and
/// many commands share a write. A command that needs several writes in an order is carried out alone. Shards that hold only dead bindings
/// are written when no command waits.
/// </para>
/// <para>
/// <b>Failures.</b> A write that fails may be stored, now or later. The commands that waited for it are told that their outcome is unknown.
/// The working state is dropped, and read again with the next command. Documents with such a write are then written once more, so that the
/// first write, should it still be on its way, loses its compare-and-swap. Where the epoch that is stored is another's, this owner has
/// ended: it answers nothing more.
/// </para>
/// <para>
/// <b>Several owners.</b> A new owner raises the epoch in <c>vhost/name</c> and reads the shards. Where a store is shared, it then writes
/// every shard with its epoch, empty ones too: from then on an earlier owner's writes lose their compare-and-swap. An answer may need no
/// write, so an owner of a shared store reads the epoch before it answers. It answers only if that is its own: then no later owner had
/// claimed when the command came.
/// </para>
/// </summary>
internal sealed partial class VirtualHostOwner : IAsyncDisposable
{
    private const int NameBytes = 16;

    private readonly Lock _gate = new();
    private readonly Queue<Request> _waiting = new();
    private readonly VirtualHostDocuments _documents;
    private readonly VirtualHostOwnerOptions _options;
    private readonly QueueUses _uses;
    private readonly SortedSet<int> _later = [];
    private readonly SortedSet<int> _unclear = [];
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private VirtualHostState _working;
    private VirtualHostImage _image;
    private BrokerException? _closed;
    private Task _loop = Task.CompletedTask;
    private bool _isRunning;
    private bool _isKnown;
    private bool _isHostUnclear;
    private bool _isDeleted;
    private long _changes;

    private VirtualHostOwner(VirtualHostDocuments documents, VirtualHostOwnerOptions options, VirtualHostSettings claimed,
        VirtualHostTopology newest)
    {
        (_documents, _options, Name, Epoch) = (documents, options, claimed.Name, claimed.Epoch);
        _uses = new QueueUses(options.Time);
        _working = new VirtualHostState(claimed, newest);
        _image = ImageOf(claimed, newest, RoutingTable.Of(newest, claimed.Policies.AlternateOf));
    }

    /// <summary>Occurs after each change of the image, and before the commands that made it are answered.</summary>
    public event Action<VirtualHostChange>? Changed;

    /// <summary>The virtual host's name.</summary>
    public string Name { get; }

    /// <summary>The epoch of this owner.</summary>
    public int Epoch { get; }

    /// <summary>The stored state, with what is not durable.</summary>
    public VirtualHostImage Image => Volatile.Read(ref _image);

    /// <summary>Completes when it answers no more: it was disposed, the virtual host was deleted, or another owner has claimed
    /// it.</summary>
    public Task Ended => _ended.Task;

    /// <summary>Whether another owner has claimed the virtual host, as far as this one knows.</summary>
    public bool IsSuperseded { get; private set; }

    /// <summary>Claims a virtual host, reads it and repairs what a crash has left.</summary>
    /// <param name="store">The store.</param>
    /// <param name="name">The virtual host.</param>
    /// <param name="options">How it works.</param>
    /// <param name="newest">The newest image of the live brokers: what is not durable is taken from it; null for none.</param>
    /// <returns>The owner; null if there is no such virtual host.</returns>
    /// <exception cref="StateConflictException">Another owner claims it at the same time.</exception>
    /// <exception cref="CorruptStateException">A document is damaged.</exception>
    public static async Task<VirtualHostOwner?> OpenAsync(IStateStore store, string name, VirtualHostOwnerOptions options,
        VirtualHostTopology? newest = null)
    {
        var documents = new VirtualHostDocuments(store, name);
        if (await documents.ReadAsync().ConfigureAwait(false) is not { } settings)
            return null;
        settings = settings with { Epoch = checked(settings.Epoch + 1) };
        await documents.WriteAsync(settings).ConfigureAwait(false);
        var owner = new VirtualHostOwner(documents, options, settings, newest ?? VirtualHostTopology.Create(name));
        await owner.LoadAsync(isClaim: options.IsShared).ConfigureAwait(false);
        return owner;
    }

    /// <summary>Decides on a command of a client.</summary>
    /// <inheritdoc cref="ChangeAsync"/>
    public Task<VirtualHostAnswer> SendAsync(VirtualHostCommand command, CancellationToken cancellationToken = default) =>
        ChangeAsync(host => _uses.Keeps(command, host.Topology) ? HostDecision.Of(host, host.Settings)
            : HostDecision.Of(command, host, NewId, NewName), cancellationToken);

    /// <summary>Changes the virtual host.</summary>
    /// <param name="decide">Decides, given the working state. It may be called again where the first result was not used.</param>
    /// <param name="cancellationToken">Ends the wait. The outcome is then unknown.</param>
    /// <exception cref="AmqpRefusedException">The command is refused.</exception>
    /// <exception cref="BrokerException">The outcome is unknown, or this owner has ended: retry.</exception>
    public Task<VirtualHostAnswer> ChangeAsync(Func<VirtualHostState, HostDecision> decide,
        CancellationToken cancellationToken = default) => EnqueueAsync(new Request(decide), cancellationToken);

    /// <summary>Returns the image after the commands before, reading what is stored if that is unknown.</summary>
    /// <exception cref="BrokerException">The store cannot be read, or this owner has ended: retry.</exception>
    public async Task<VirtualHostImage> RefreshAsync(CancellationToken cancellationToken = default)
    {
        await ChangeAsync(static host => HostDecision.Of(host, host.Settings), cancellationToken).ConfigureAwait(false);
        return Image;
    }

    /// <summary>Deletes the virtual host: its shards, then its own document. This owner then ends.</summary>
    /// <exception cref="BrokerException">The outcome is unknown: retry.</exception>
    public Task DeleteAsync(CancellationToken cancellationToken = default) => EnqueueAsync(new Request(null), cancellationToken);

    /// <summary>Refuses the commands that wait, and waits for what is on its way to the store.</summary>
    public async ValueTask DisposeAsync()
    {
        Close("is closed");
        Task loop;
        lock (_gate)
            loop = _loop;
        await loop.ConfigureAwait(false);
    }

    /// <summary>Returns a random id.</summary>
    public static long NewId()
    {
        Span<byte> bytes = stackalloc byte[sizeof(long)];
        RandomNumberGenerator.Fill(bytes);
        return BitConverter.ToInt64(bytes) is not 0 and var id ? id : 1;
    }

    private static string NewName() => VirtualHostTopology.GeneratedPrefix + Convert
        .ToBase64String(RandomNumberGenerator.GetBytes(NameBytes)).TrimEnd('=').Replace('+', '-').Replace('/', '_');

    private async Task<VirtualHostAnswer> EnqueueAsync(Request request, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (_gate)
        {
            if (_closed is { } closed)
                throw closed;
            _waiting.Enqueue(request);
            if (!_isRunning)
            {
                _isRunning = true;
                _loop = Task.Run(RunAsync, CancellationToken.None);
            }
        }
        return await request.Answer.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    private async Task RunAsync()
    {
        List<Request> batch = [];
        while (true)
        {
            lock (_gate)
            {
                batch.Clear();
                batch.AddRange(_waiting);
                _waiting.Clear();
                if (batch.Count == 0 && (_later.Count == 0 || !_isKnown || _closed is not null))
                {
                    _isRunning = false;
                    return;
                }
            }
            if (batch.Count == 0)
                await WriteLaterAsync().ConfigureAwait(false);
            else
                await ServeAsync(batch).ConfigureAwait(false);
        }
    }

    private async Task ServeAsync(List<Request> batch)
    {
        for (var next = 0; next < batch.Count;)
        {
            if (_isDeleted || IsClosed || !_isKnown && !await TryLoadAsync().ConfigureAwait(false))
            {
                var failure = _closed ?? Unavailable("could not be read", null);
                foreach (var request in batch[next..])
                    request.Answer.TrySetException(failure);
                return;
            }
            var step = new Step(_working, _options.MaxChanges);
            while (next < batch.Count && step.TryAdd(batch[next]))
                next++;
            await CarryOutAsync(step).ConfigureAwait(false);
        }
    }

    private async Task CarryOutAsync(Step step)
    {
        try
        {
            if (step.Deletes)
                await RemoveAllAsync().ConfigureAwait(false);
            else
                await StoreAsync(step).ConfigureAwait(false);
        }
        catch (Exception failure) // Whatever a store throws means the same: what is stored is unknown.
        {
            _isKnown = false;
            var unknown = Unavailable("could not be stored, the outcome is unknown", failure);
            _options.Log.Write(EngineLogLevel.Warning, unknown.Message, failure);
            step.Fail(unknown);
            return;
        }
        _working = step.Next;
        _later.UnionWith(step.Later);
        Publish(step);
        step.Answer(Image.Version);
        if (step.Deletes)
            Close("was deleted");
    }

    // In the given order if the writes have one, else at once.
    private async Task StoreAsync(Step step)
    {
        if (step.WritesHost)
            await WriteHostAsync(step.Next.Settings).ConfigureAwait(false);
        if (step.IsOrdered)
        {
            foreach (var shard in step.Shards)
                await WriteAsync(shard, step.Next.Topology).ConfigureAwait(false);
        }
        else
            await WriteAllAsync(step.Shards, step.Next.Topology).ConfigureAwait(false);
        if (_options.IsShared)
            await ConfirmAsync().ConfigureAwait(false);
    }

    private async Task ConfirmAsync()
    {
        if (await _documents.ReadEpochAsync(CancellationToken.None).ConfigureAwait(false) is not { } epoch || epoch != Epoch)
            throw new StateConflictException(VirtualHostDocuments.KeyOf(Name), null, null);
    }

    private async Task RemoveAllAsync()
    {
        var stored = await _documents.ReadShardsAsync().ConfigureAwait(false);
        var shards = Enumerable.Range(0, stored.Length).Where(shard => stored[shard] is not null).ToArray();
        _unclear.UnionWith(shards);
        await Task.WhenAll(shards.Select(_documents.DeleteShardAsync)).ConfigureAwait(false);
        await _documents.DeleteAsync().ConfigureAwait(false);
        _unclear.Clear();
        _isDeleted = true;
    }

    private async Task WriteLaterAsync()
    {
        try
        {
            int[] shards = [.. _later];
            _later.Clear();
            await WriteAllAsync(shards, _working.Topology).ConfigureAwait(false);
        }
        catch (Exception failure) // As above. No command waits for it.
        {
            _isKnown = false;
            _options.Log.Write(EngineLogLevel.Warning, Unavailable("could not be stored", failure).Message, failure);
        }
    }

    private Task WriteAllAsync(IEnumerable<int> shards, VirtualHostTopology topology, bool isEmptyWritten = false) =>
        Task.WhenAll(shards.Select(shard => WriteAsync(shard, topology, isEmptyWritten)).ToArray());

    private async Task WriteAsync(int shard, VirtualHostTopology topology, bool isEmptyWritten = false)
    {
        var document = topology.DocumentOf(shard);
        if (document is null && !isEmptyWritten && !_documents.HasShard(shard))
            return;
        lock (_unclear)
            _unclear.Add(shard);
        // A shard that has a document keeps it: a late write that had found none would succeed where it is deleted again.
        await _documents.WriteShardAsync(shard, (document ?? new VirtualHostShardDocument()) with { Epoch = Epoch }).ConfigureAwait(false);
        lock (_unclear)
            _unclear.Remove(shard);
    }

    private async Task WriteHostAsync(VirtualHostSettings settings)
    {
        _isHostUnclear = true;
        await _documents.WriteAsync(settings with { Epoch = Epoch }).ConfigureAwait(false);
        _isHostUnclear = false;
    }

    private async Task<bool> TryLoadAsync()
    {
        try
        {
            await LoadAsync(isClaim: false).ConfigureAwait(false);
            return true;
        }
        catch (Exception failure) // The next command reads again, and its caller retries.
        {
            _options.Log.Write(EngineLogLevel.Warning, Unavailable("could not be read", failure).Message, failure);
            return false;
        }
    }

    private async Task LoadAsync(bool isClaim)
    {
        _isKnown = false;
        if (await _documents.ReadAsync().ConfigureAwait(false) is not { } settings || settings.Epoch != Epoch)
        {
            IsSuperseded = true;
            Close("has another owner");
            throw new StateConflictException(VirtualHostDocuments.KeyOf(Name), null, null);
        }
        if (_isHostUnclear)
            await WriteHostAsync(settings).ConfigureAwait(false);
        var stored = await _documents.ReadShardsAsync().ConfigureAwait(false);
        if (_options.IsShared)
            await ConfirmAsync().ConfigureAwait(false); // Else these may be the etags of a later owner's shards.
        var (loaded, repairs) = VirtualHostTopology.Load(Name,
            stored.OfType<VirtualHostShardDocument>().Where(shard => shard.Epoch >= settings.FirstEpoch));
        loaded = loaded.WithTransient(_image.Topology);
        // An empty document stands where an unclear write may still create one.
        await WriteAllAsync([.. _unclear], loaded, isEmptyWritten: true).ConfigureAwait(false);
        await WriteAllAsync(isClaim ? Enumerable.Range(0, stored.Length) : repairs, loaded, isEmptyWritten: isClaim).ConfigureAwait(false);
        var ends = loaded.EndUnboundExchanges();
        foreach (var shard in ends.WritesBefore)
            await WriteAsync(shard, ends.Next).ConfigureAwait(false);
        _later.Clear();
        _later.UnionWith(ends.WritesLater);
        _working = new VirtualHostState(settings, ends.Next);
        if (isClaim)
            await ConfirmAsync().ConfigureAwait(false);
        _isKnown = true;
        PublishWhole();
    }

    private void Publish(Step step)
    {
        var before = _image;
        if (step.Deletes)
            Raise(new VirtualHostChange(Name, before, null));
        else if (step.Edits.Count > 0 || step.WritesHost)
        {
            _uses.Note(step.Edits);
            var routes = step.Edits.Aggregate(before.Routes, (made, edit) => made.Apply(edit));
            if (step.Next.Settings.Policies != before.Settings.Policies)
                routes = routes.WithAlternates(step.Next.Settings.Policies.AlternateOf);
            Replace(before, ImageOf(step.Next.Settings, step.Next.Topology, routes), [.. step.Edits]);
        }
    }

    private void PublishWhole() => Replace(_image, ImageOf(_working.Settings, _working.Topology,
        RoutingTable.Of(_working.Topology, _working.Settings.Policies.AlternateOf)), null);

    private void Replace(VirtualHostImage before, VirtualHostImage after, ImmutableArray<TopologyEdit>? edits)
    {
        Volatile.Write(ref _image, after);
        Raise(new VirtualHostChange(Name, before, after) { Edits = edits });
    }

    private void Raise(VirtualHostChange change)
    {
        try
        {
            Changed?.Invoke(change);
        }
        catch (Exception fault) // The commands were carried out, whatever a handler makes of them.
        {
            _options.Log.Write(EngineLogLevel.Error, $"A handler of changes of the virtual host '{Name}' failed: {fault.Message}", fault);
        }
    }

    // A later owner's epoch is higher, so its versions are.
    private VirtualHostImage ImageOf(VirtualHostSettings settings, VirtualHostTopology topology, RoutingTable routes) =>
        new(Name, ((long)Epoch << 32) + ++_changes, settings, topology, routes);

    private bool IsClosed
    {
        get
        {
            lock (_gate)
                return _closed is not null;
        }
    }

    private void Close(string reason)
    {
        List<Request> waiting;
        BrokerException closed;
        lock (_gate)
        {
            closed = _closed ??= new BrokerException(ErrorCode.NotCoordinator, $"The virtual host '{Name}' {reason}: retry.");
            waiting = [.. _waiting];
            _waiting.Clear();
        }
        foreach (var request in waiting)
            request.Answer.TrySetException(closed);
        _ended.TrySetResult();
    }

    private BrokerException Unavailable(string what, Exception? failure) => new(ErrorCode.CoordinatorNotAvailable,
        $"The virtual host '{Name}' {what}: {failure?.Message ?? "retry."}", failure);
}

/// <summary>How an owner works.</summary>
internal sealed record VirtualHostOwnerOptions
{
    /// <summary>Whether other processes use the store.</summary>
    public bool IsShared { get; init; }

    /// <summary>The most commands that are stored at once: more would keep the first ones waiting.</summary>
    public int MaxChanges { get; init; } = 4096;

    /// <summary>The clock.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>The log.</summary>
    public EngineLog Log { get; init; } = EngineLog.Silent;

    /// <summary>Whose names users do not take, and the first user of a new installation.</summary>
    public UserRules Users { get; init; } = new();
}
