using System.Collections.Immutable;
using OrleansMq.Api;

namespace OrleansMq.Groups.Offsets;

/// <summary>The offsets of open transactions in a group, by producer. Immutable; a method that changes nothing returns the same
/// instance.</summary>
internal sealed class PendingOffsets
{
    // The producers with an offset for a partition: nearly always one, its reader's.
    private readonly ImmutableDictionary<TopicPartition, ImmutableArray<long>> _producers;
    private readonly long _lastOrder;

    private PendingOffsets(ImmutableSortedDictionary<long, PendingTransaction> transactions,
        ImmutableDictionary<TopicPartition, ImmutableArray<long>> producers, long lastOrder) =>
        (Transactions, _producers, _lastOrder) = (transactions, producers, lastOrder);

    /// <summary>No offsets.</summary>
    public static PendingOffsets Empty { get; } = new(ImmutableSortedDictionary<long, PendingTransaction>.Empty,
        ImmutableDictionary<TopicPartition, ImmutableArray<long>>.Empty, 0);

    /// <summary>The open transactions, by producer id. Each has an offset.</summary>
    public ImmutableSortedDictionary<long, PendingTransaction> Transactions { get; }

    /// <summary>Whether there are no offsets.</summary>
    public bool IsEmpty => Transactions.IsEmpty;

    /// <summary>The partitions that have an offset, in the order of their names and numbers.</summary>
    public IEnumerable<TopicPartition> Partitions => _producers.Keys.Order(PendingTransaction.ByNameAndNumber);

    /// <summary>Returns the open transaction of a producer; null for none.</summary>
    public PendingTransaction? Find(long producerId) => Transactions.GetValueOrDefault(producerId);

    /// <summary>Whether a partition has an offset.</summary>
    public bool Contains(TopicPartition partition) => _producers.ContainsKey(partition);

    /// <summary>Returns the offsets of a partition.</summary>
    public IEnumerable<PendingOffset> Of(TopicPartition partition) =>
        _producers.GetValueOrDefault(partition, []).Select(producerId => Transactions[producerId].Offsets[partition]);

    /// <summary>Returns the offsets with those of a transaction added, or replaced. They are the latest of all.</summary>
    /// <param name="producerId">The producer.</param>
    /// <param name="transaction">Its transaction, with all offsets that it has then. An offset whose order is 0 is one of those to
    /// add.</param>
    public PendingOffsets With(long producerId, PendingTransaction transaction)
    {
        var order = _lastOrder + 1;
        var offsets = transaction.Offsets;
        var producers = _producers;
        foreach (var (partition, offset) in transaction.Offsets)
        {
            if (offset.Order == 0)
                offsets = offsets.SetItem(partition, offset with { Order = order });
            var others = producers.GetValueOrDefault(partition, []);
            if (!others.Contains(producerId))
                producers = producers.SetItem(partition, others.Add(producerId));
        }
        return offsets.IsEmpty ? this
            : new PendingOffsets(Transactions.SetItem(producerId, transaction with { Offsets = offsets }), producers, order);
    }

    /// <summary>Returns the offsets that were stored.</summary>
    public static PendingOffsets Restore(IEnumerable<KeyValuePair<long, PendingTransaction>> stored)
    {
        var all = stored.Aggregate(Empty, static (all, transaction) => all.With(transaction.Key, transaction.Value));
        return new PendingOffsets(all.Transactions, all._producers, all.Transactions.Values
            .SelectMany(static transaction => transaction.Offsets.Values).Select(static offset => offset.Order).DefaultIfEmpty().Max());
    }

    /// <summary>Returns the offsets without those of a partition.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="below">The order below which they go.</param>
    public PendingOffsets Without(TopicPartition partition, long below = long.MaxValue)
    {
        var next = this;
        foreach (var producerId in _producers.GetValueOrDefault(partition, []))
        {
            if (Transactions[producerId].Offsets[partition].Order < below)
                next = next.Without(producerId, [partition]);
        }
        return next;
    }

    /// <summary>Returns the offsets without those of a producer's transaction.</summary>
    public PendingOffsets WithoutTransaction(long producerId) =>
        Find(producerId) is { } transaction ? Without(producerId, transaction.Offsets.Keys) : this;

    /// <summary>Returns the offsets without those of removed topics.</summary>
    public PendingOffsets WithoutTopics(Func<string, Guid, bool> isGone)
    {
        var next = this;
        foreach (var (producerId, transaction) in Transactions)
            next = next.Without(producerId, transaction.Offsets.Where(offset => isGone(offset.Key.Topic, offset.Value.TopicId))
                .Select(static offset => offset.Key));
        return next;
    }

    private PendingOffsets Without(long producerId, IEnumerable<TopicPartition> partitions)
    {
        var producers = _producers;
        var offsets = Transactions[producerId].Offsets;
        foreach (var partition in partitions)
        {
            offsets = offsets.Remove(partition);
            var others = producers[partition].Remove(producerId);
            producers = others.IsEmpty ? producers.Remove(partition) : producers.SetItem(partition, others);
        }
        if (ReferenceEquals(producers, _producers))
            return this;
        return new PendingOffsets(offsets.IsEmpty ? Transactions.Remove(producerId)
            : Transactions.SetItem(producerId, Transactions[producerId] with { Offsets = offsets }), producers, _lastOrder);
    }
}

/// <summary>The open transaction of a producer in a group.</summary>
internal sealed record PendingTransaction
{
    /// <summary>The transactional id.</summary>
    public required string TransactionalId { get; init; }

    /// <summary>The producer's epoch.</summary>
    public required short Epoch { get; init; }

    /// <summary>The transaction's number.</summary>
    public required long Number { get; init; }

    /// <summary>Its offsets, in the order of the partitions' names and numbers.</summary>
    public ImmutableSortedDictionary<TopicPartition, PendingOffset> Offsets { get; init; } =
        ImmutableSortedDictionary.Create<TopicPartition, PendingOffset>(ByNameAndNumber);

    internal static IComparer<TopicPartition> ByNameAndNumber { get; } = Comparer<TopicPartition>.Create(static (one, other) =>
        string.CompareOrdinal(one.Topic, other.Topic) is not 0 and var order ? order : one.Partition.CompareTo(other.Partition));
}

/// <summary>An offset of an open transaction.</summary>
/// <param name="TopicId">The id of the topic for which it is.</param>
/// <param name="Offset">The offset.</param>
/// <param name="Order">Rises with each commit within a transaction, from 1: of two transactions the one that wrote an offset later
/// prevails, whichever ends first.</param>
internal readonly record struct PendingOffset(Guid TopicId, CommittedOffset Offset, long Order = 0);
