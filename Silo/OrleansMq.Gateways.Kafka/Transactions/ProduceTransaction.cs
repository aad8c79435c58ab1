using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Apis;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Producers;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Kafka.Transactions;

/// <summary>
/// The transaction that batches of a produce request belong to: their transactional bit says so, not the request. A batch whose partition
/// has the transaction open is appended at once. The others of the request wait until the coordinator has been asked, once for all of their
/// partitions: whether it has them, or from version 12 of Produce on to add them (KIP-890).
/// </summary>
internal sealed class ProduceTransaction
{
    // In the header of a batch: its format, and the low byte of its attributes.
    private const int MagicPosition = 16;
    private const int AttributesEnd = 22;
    private const int TransactionalBit = 0x10;
    // From this version on each transaction has an epoch of its own.
    private const short RaisesEpochFrom = 12;

    private readonly RequestContext _context;
    private readonly string _transactionalId;
    private readonly ProducerIdentity _producer;
    private List<WaitingBatch>? _waiting;

    private ProduceTransaction(RequestContext context, string transactionalId, ProducerIdentity producer, ProduceResult? refusal)
    {
        (_context, _transactionalId, _producer, Refusal) = (context, transactionalId, producer, refusal);
    }

    /// <summary>Why the whole request is refused; null: it is not.</summary>
    public ProduceResult? Refusal { get; }

    /// <summary>The batches to append when the coordinator has been asked.</summary>
    public IReadOnlyList<WaitingBatch> Waiting => _waiting ?? [];

    private bool RaisesEpoch => _context.Version >= RaisesEpochFrom;

    /// <summary>Returns the transaction of a request; null where no batch belongs to one.</summary>
    public static ProduceTransaction? Find(RequestContext context, ProduceRequest request)
    {
        var (isFound, isMixed) = (false, false);
        ProducerIdentity? producer = null;
        foreach (var topic in request.Topics)
        {
            foreach (var partition in topic.Partitions)
            {
                if (!TryRead(partition.Records.Span, out var one))
                    continue;
                isFound = true;
                // The log refuses a batch of a transaction that has no producer.
                if (one.ProducerId == RecordBatchHeader.NoProducerId)
                    continue;
                isMixed |= producer is { } other && other != one;
                producer = one;
            }
        }
        return isFound
            ? new ProduceTransaction(context, request.TransactionalId ?? "", producer ?? new ProducerIdentity(-1, -1),
                Refuse(context, request.TransactionalId, isMixed))
            : null;
    }

    /// <summary>Whether a batch waits for the coordinator.</summary>
    /// <param name="partition">Its partition, opened.</param>
    /// <param name="records">The batch.</param>
    public bool MustAsk(in OpenedPartition partition, ReadOnlySpan<byte> records) => Refusal is null
        && TryRead(records, out var producer) && producer.ProducerId != RecordBatchHeader.NoProducerId
        && !partition.IsInTransaction(producer.ProducerId, producer.ProducerEpoch);

    /// <summary>Adds a batch to those that wait.</summary>
    /// <param name="index">Its number in the request.</param>
    /// <param name="partition">Its partition, opened.</param>
    /// <param name="records">The batch.</param>
    public void Add(int index, in OpenedPartition partition, Memory<byte> records) =>
        (_waiting ??= []).Add(new WaitingBatch(index, partition, records));

    /// <summary>Asks the coordinator about the partitions that wait.</summary>
    /// <returns>Why none of their batches is appended; null: they are, with the second.</returns>
    public async ValueTask<(ProduceResult? Refusal, VerifiedTransaction Verified)> AskAsync()
    {
        // To its end, as an append: the client may be gone, and the request has arrived.
        var answer = await _context.AskAsync(new AddToTransaction
        {
            TransactionalId = _transactionalId,
            Producer = _producer,
            Partitions = [.. _waiting!.Select(static batch => batch.Partition.InTransaction).Distinct()],
            VerifyOnly = !RaisesEpoch,
            RaisesEpoch = RaisesEpoch,
            Caller = _context.NextCaller(),
        }, CancellationToken.None).ConfigureAwait(false);
        return answer.Error == ErrorCode.None
            ? (null, new VerifiedTransaction(answer.Number, StartsAtZero: RaisesEpoch))
            : (ProduceResult.Failed(TransactionErrors.OfProduce(answer.Error, _context.Version),
                answer.Message ?? $"The transaction of '{_transactionalId}' cannot be verified: {answer.Error}."), default);
    }

    private static ProduceResult? Refuse(RequestContext context, string? transactionalId, bool isMixed)
    {
        if (transactionalId is null)
            return ProduceResult.Failed(ErrorCode.TransactionalIdAuthorizationFailed,
                "The batches belong to a transaction, and the request names none: send its transactional id.");
        if (!context.Access.Authorizes(AccessOperation.Write, ResourceType.TransactionalId, transactionalId))
            return ProduceResult.Failed(ErrorCode.TransactionalIdAuthorizationFailed,
                context.Access.RefusalOf(AccessOperation.Write, ResourceType.TransactionalId, transactionalId));
        return isMixed
            ? ProduceResult.Failed(ErrorCode.InvalidProducerIdMapping,
                "The batches of the transaction have several producer ids or epochs: a request is of one producer.")
            : null;
    }

    private static bool TryRead(ReadOnlySpan<byte> records, out ProducerIdentity producer)
    {
        producer = default;
        // Most batches belong to no transaction: two bytes tell.
        if (records.Length < RecordBatchHeader.Size || (records[AttributesEnd] & TransactionalBit) == 0
            || records[MagicPosition] != RecordBatches.Magic)
            return false;
        var header = RecordBatchHeader.Read(records);
        producer = new ProducerIdentity(header.ProducerId, header.ProducerEpoch);
        return true;
    }

    /// <summary>A batch that waits for the coordinator.</summary>
    /// <param name="Index">Its number in the request.</param>
    /// <param name="Partition">Its partition.</param>
    /// <param name="Records">The batch.</param>
    internal readonly record struct WaitingBatch(int Index, OpenedPartition Partition, Memory<byte> Records);
}
