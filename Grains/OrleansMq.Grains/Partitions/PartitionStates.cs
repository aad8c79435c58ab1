using Orleans.Storage;
using OrleansMq.Replication;
using OrleansMq.State;

namespace OrleansMq.Grains.Partitions;

/// <summary>
/// The stored states of all partitions, for leaders, placement and topic creation. Nothing is cached, so no caller sees an outdated state.
/// Thread safe.
/// </summary>
internal interface IPartitionStates
{
    /// <summary>Reads the stored state; null if there is none. Any exception: not known.</summary>
    Task<StoredPartitionState?> ReadAsync(ReplicaKey key);

    /// <summary>Stores the first state of a partition; returns its ETag.</summary>
    /// <exception cref="StateConflictException">A state is already stored. After any other exception the outcome is unknown.</exception>
    Task<string> CreateAsync(ReplicaKey key, PartitionState state);

    /// <summary>Stores a state if the stored one still has <paramref name="etag"/>; returns the new ETag.</summary>
    /// <exception cref="StateConflictException">Another state is stored. After any other exception the outcome is unknown.</exception>
    Task<string> WriteAsync(ReplicaKey key, PartitionState state, string etag);

    /// <summary>Removes the stored state, whichever it is, if there is one: its topic was deleted. A leader that writes afterwards finds
    /// none, and steps down; nothing but <see cref="CreateAsync"/> stores one again.</summary>
    /// <exception cref="Exception">The outcome is unknown.</exception>
    Task ClearAsync(ReplicaKey key);
}

/// <summary>Partition states over grain storage: the document <c>partition/&lt;topic id&gt;/&lt;number&gt;</c>.</summary>
/// <param name="storage">The broker's grain storage.</param>
internal sealed class PartitionStates(IGrainStorage storage) : IPartitionStates
{
    /// <summary>The state's name: the first part of the document's key.</summary>
    public const string StateName = "partition";

    // Far more than a leader writes until it learns that its topic is deleted.
    private const int ClearAttempts = 20;

    private static readonly GrainType Type = GrainType.Create(PartitionGrain.TypeName);

    /// <inheritdoc/>
    public async Task<StoredPartitionState?> ReadAsync(ReplicaKey key)
    {
        var stored = new GrainState<PartitionState>();
        await storage.ReadStateAsync(StateName, GrainOf(key), stored).ConfigureAwait(false);
        return stored.RecordExists ? new StoredPartitionState(stored.State!, stored.ETag!) : null;
    }

    /// <inheritdoc/>
    public Task<string> CreateAsync(ReplicaKey key, PartitionState state) => StoreAsync(key, state, etag: null);

    /// <inheritdoc/>
    public Task<string> WriteAsync(ReplicaKey key, PartitionState state, string etag) => StoreAsync(key, state, etag);

    /// <inheritdoc/>
    /// <remarks>A leader whose followers drop their replicas writes each smaller ISR: several writes may come between a read and the
    /// removal that compares with it.</remarks>
    public async Task ClearAsync(ReplicaKey key)
    {
        for (var attempt = 1; !await TryClearAsync(key, isLast: attempt == ClearAttempts).ConfigureAwait(false); attempt++)
        {
            // Its leader wrote once more in between.
        }
    }

    private async Task<bool> TryClearAsync(ReplicaKey key, bool isLast)
    {
        var stored = new GrainState<PartitionState>();
        var grain = GrainOf(key);
        await storage.ReadStateAsync(StateName, grain, stored).ConfigureAwait(false);
        if (!stored.RecordExists)
            return true;
        try
        {
            await CompareAndSwapAsync(key, stored.ETag, () => storage.ClearStateAsync(StateName, grain, stored)).ConfigureAwait(false);
            return true;
        }
        catch (StateConflictException) when (!isLast)
        {
            return false;
        }
    }

    private async Task<string> StoreAsync(ReplicaKey key, PartitionState state, string? etag)
    {
        var next = new GrainState<PartitionState>(state, etag!) { RecordExists = etag is not null };
        await CompareAndSwapAsync(key, etag, () => storage.WriteStateAsync(StateName, GrainOf(key), next)).ConfigureAwait(false);
        return next.ETag!;
    }

    private static async Task CompareAndSwapAsync(ReplicaKey key, string? etag, Func<Task> change)
    {
        try
        {
            await change().ConfigureAwait(false);
        }
        catch (InconsistentStateException conflict)
        {
            throw new StateConflictException($"{StateName}/{key}", etag, conflict.StoredEtag);
        }
    }

    private static GrainId GrainOf(ReplicaKey key) => GrainId.Create(Type, GrainKeys.Partition(key.TopicId, key.Partition));
}
