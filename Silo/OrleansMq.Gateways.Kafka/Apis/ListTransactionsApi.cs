using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Groups.Consumer;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 66: lists the cluster's transactional ids (KIP-664). Clients ask every broker and merge the answers, so only one broker
/// answers with ids.</summary>
internal sealed class ListTransactionsApi() : KafkaApi<ListTransactionsRequest>(ApiKey.ListTransactions, 0, 2, flexibleFrom: 0)
{
    // Kafka's names of phases, of which no transactional id has the last two here.
    private static readonly HashSet<string> Phases = new(StringComparer.Ordinal)
    {
        nameof(TransactionPhase.Empty), nameof(TransactionPhase.Ongoing), nameof(TransactionPhase.PrepareCommit),
        nameof(TransactionPhase.PrepareAbort), nameof(TransactionPhase.CompleteCommit), nameof(TransactionPhase.CompleteAbort),
        "Dead", "PrepareEpochFence",
    };

    protected override ListTransactionsRequest Read(ref RequestReader reader, short version)
    {
        var phases = reader.ReadStringArray();
        var producers = new long[reader.ReadArrayLength(sizeof(long))];
        for (var index = 0; index < producers.Length; index++)
            producers[index] = reader.ReadInt64();
        return new ListTransactionsRequest(phases, producers, version >= 1 ? reader.ReadInt64() : -1,
            version >= 2 ? reader.ReadNullableString() : null);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, ListTransactionsRequest request, ResponseWriter response)
    {
        var (error, transactions) = await ListAsync(context, request).ConfigureAwait(false);
        response.WriteThrottle();
        response.WriteError(error);
        var unknown = request.Phases.Where(static phase => !Phases.Contains(phase)).Distinct().ToArray();
        response.WriteLength(unknown.Length);
        foreach (var phase in unknown)
            response.WriteString(phase);
        response.WriteLength(transactions.Count);
        foreach (var transaction in transactions)
        {
            response.WriteString(transaction.TransactionalId);
            response.WriteInt64(transaction.ProducerId);
            response.WriteString(transaction.Phase.ToString());
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    private static async ValueTask<(ErrorCode Error, IReadOnlyList<TransactionListing> Transactions)> ListAsync(RequestContext context,
        ListTransactionsRequest request)
    {
        TopicPattern? pattern = null;
        if (!string.IsNullOrEmpty(request.IdPattern) && !TopicPattern.TryParse(request.IdPattern, out pattern, out _))
            return (ErrorCode.InvalidRegularExpression, []);
        if (!context.Services.Endpoints.AnswersForAll(context.Connection))
            return (ErrorCode.None, []);
        try
        {
            var all = await context.Broker.Transactions.ListTransactionsAsync(context.Aborted).ConfigureAwait(false);
            var phases = request.Phases.ToHashSet(StringComparer.Ordinal);
            var producers = request.ProducerIds.ToHashSet();
            var now = context.Services.Options.TimeProvider.GetUtcNow();
            return (ErrorCode.None, [.. all.Where(one => (phases.Count == 0 || phases.Contains(one.Phase.ToString()))
                && (producers.Count == 0 || producers.Contains(one.ProducerId))
                && (request.RunsForMs < 0 || (now - one.StartedAt)?.TotalMilliseconds > request.RunsForMs)
                && (pattern is null || pattern.IsMatch(one.TransactionalId)))]);
        }
        catch (BrokerException refused)
        {
            return (refused.Code, []);
        }
    }
}

/// <summary>The body. A filter that is empty matches all.</summary>
/// <param name="Phases">The phases of the last transaction.</param>
/// <param name="ProducerIds">The producers.</param>
/// <param name="RunsForMs">Transactions that are open for longer, in milliseconds; negative: all.</param>
/// <param name="IdPattern">A regular expression that the whole transactional id matches; null or empty: all.</param>
internal sealed record ListTransactionsRequest(string[] Phases, long[] ProducerIds, long RunsForMs, string? IdPattern);
