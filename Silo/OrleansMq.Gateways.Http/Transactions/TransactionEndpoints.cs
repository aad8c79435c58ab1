using System.Text.Json.Serialization.Metadata;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Gateways.Http.Transactions;

/// <summary>
/// <c>/api/transactions</c>: list, describe and abort for operators; <c>init</c>, <c>add</c> and <c>end</c> for producers. An answer of the
/// coordinator to a producer has status 200 with its error by name in the body, since most of its errors are steps of the protocol. Problem
/// details are for requests that did not reach it.
/// </summary>
internal static class TransactionEndpoints
{
    private const string Root = "/api/transactions";
    // As many as a transaction may have.
    private const int MostEntries = 10_000;
    private const string Path = Root + "/{transaction}";
    private const string InitExample = """{"transactionalId": "billing-1", "timeoutMs": 60000}""";
    private const string OfProducer = """{"transactionalId": "billing-1", "producer": {"producerId": 1, "producerEpoch": 0}""";
    private const string AddExample = OfProducer + """, "partitions": [{"topic": "orders", "partition": 0}]}""";
    private const string EndExample = OfProducer + """, "isCommit": true}""";

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        routes.MapGet(Root, http => ListAsync(http, api.BrokerOf(http).Transactions));
        routes.MapGet(Path, http => DescribeAsync(http, api.BrokerOf(http).Transactions));
        routes.MapGet(Path + "/coordinator", http => FindCoordinatorAsync(http, api.BrokerOf(http).Transactions));
        routes.MapPost(Path + "/abort", http => AbortAsync(http, api.BrokerOf(http).Transactions));
        routes.MapPost(Root + "/init", http => InitAsync(http, api.BrokerOf(http).Transactions));
        routes.MapPost(Root + "/add", http => AddAsync(http, api));
        routes.MapPost(Root + "/end", http => EndAsync(http, api.BrokerOf(http).Transactions));
    }

    private static async Task ListAsync(HttpContext http, ITransactionCoordinator transactions)
    {
        var query = new QueryValues(http, "max", "after");
        var (max, after) = ((int)query.Number("max", int.MaxValue, 1, int.MaxValue), query.Text("after"));
        var listed = await transactions.ListTransactionsAsync(http.RequestAborted);
        await JsonBodies.WriteAsync(http,
            [.. listed.SkipWhile(one => string.CompareOrdinal(one.TransactionalId, after) <= 0).Take(max)],
            JsonBodies.TransactionAnswers.IReadOnlyListTransactionListing);
    }

    private static async Task DescribeAsync(HttpContext http, ITransactionCoordinator transactions)
    {
        _ = new QueryValues(http);
        await WriteAsync(http, await transactions.SendAsync(new DescribeTransaction(RouteValues.Transaction(http)), http.RequestAborted));
    }

    private static async Task AbortAsync(HttpContext http, ITransactionCoordinator transactions)
    {
        var number = new QueryValues(http, "number").Number("number", 0, 1, long.MaxValue);
        await WriteAsync(http, await transactions.SendAsync(
            new AbortTransaction(RouteValues.Transaction(http), HttpCaller.Of(http), number), http.RequestAborted));
    }

    private static async Task FindCoordinatorAsync(HttpContext http, ITransactionCoordinator transactions)
    {
        _ = new QueryValues(http);
        var broker = await transactions.FindCoordinatorAsync(RouteValues.Transaction(http), http.RequestAborted);
        await JsonBodies.WriteAsync(http, new CoordinatorAnswer(broker), JsonBodies.TransactionAnswers.CoordinatorAnswer);
    }

    private static async Task InitAsync(HttpContext http, ITransactionCoordinator transactions)
    {
        var body = await ReadAsync(http, JsonBodies.Transactions.InitTransactionsBody, InitExample, RequestBody.MaxJsonBytes);
        await JsonBodies.WriteAsync(http, await transactions.SendAsync(body.ToRequest(HttpCaller.Of(http)), http.RequestAborted),
            JsonBodies.TransactionAnswers.InitTransactionsResult);
    }

    private static async Task AddAsync(HttpContext http, ApiServices api)
    {
        var body = await ReadAsync(http, JsonBodies.Transactions.AddToTransactionBody, AddExample, GroupMemberEndpoints.MaxBodyBytes);
        JsonBodies.Present(body.Partitions ?? [], "partitions");
        JsonBodies.Present(body.Groups ?? [], "groups");
        await JsonBodies.WriteAsync(http, await AddAsync(api, api.AccessOf(http), body.ToRequest(HttpCaller.Of(http)), http.RequestAborted),
            JsonBodies.TransactionAnswers.AddToTransactionResult);
    }

    private static async Task EndAsync(HttpContext http, ITransactionCoordinator transactions)
    {
        var body = await ReadAsync(http, JsonBodies.Transactions.EndTransactionBody, EndExample, RequestBody.MaxJsonBytes);
        await JsonBodies.WriteAsync(http, await transactions.SendAsync(body.ToRequest(HttpCaller.Of(http)), http.RequestAborted),
            JsonBodies.TransactionAnswers.EndTransactionResult);
    }

    // The coordinator would tell a participant that cannot be of the transaction's end, again and again.
    private static async ValueTask<AddToTransactionResult> AddAsync(ApiServices api, SessionAccess access, AddToTransaction request,
        CancellationToken cancellationToken)
    {
        if (!access.Authorizes(AccessOperation.Write, ResourceType.TransactionalId, request.TransactionalId))
            return Refused(ErrorCode.TransactionalIdAuthorizationFailed,
                access.RefusalOf(AccessOperation.Write, ResourceType.TransactionalId, request.TransactionalId));
        // Before anything is made of each.
        if (request.Partitions.Count + request.Groups.Count > MostEntries)
            return Refused(ErrorCode.InvalidRequest,
                $"The request has {request.Partitions.Count + request.Groups.Count} partitions and groups; allowed are {MostEntries}.");
        foreach (var group in request.Groups)
        {
            if (GroupId.FindProblem(group) is { } problem)
                return Refused(ErrorCode.InvalidGroupId, problem);
        }
        var known = new Dictionary<string, TopicListing>(StringComparer.Ordinal);
        var partitions = new List<TransactionPartition>(request.Partitions.Count);
        foreach (var partition in request.Partitions)
        {
            if (!access.Authorizes(AccessOperation.Write, ResourceType.Topic, partition.Topic))
                return Refused(ErrorCode.TopicAuthorizationFailed,
                    access.RefusalOf(AccessOperation.Write, ResourceType.Topic, partition.Topic));
            if (!known.TryGetValue(partition.Topic, out var topic))
            {
                try
                {
                    topic = await api.Gate.Own.GetTopicAsync(partition.Topic, cancellationToken);
                }
                catch (BrokerException refused)
                {
                    return Refused(refused.Code, refused.Message);
                }
                known.Add(partition.Topic, topic);
            }
            if (partition.TopicId != default && partition.TopicId != topic.TopicId)
                return Refused(ErrorCode.UnknownTopicId, $"'{partition.Topic}' does not have the id {partition.TopicId}: the topic was "
                    + "created again. Look its id up, or leave 'topicId' out.");
            if ((uint)partition.Partition >= (uint)topic.Partitions)
                return Refused(ErrorCode.UnknownTopicOrPartition,
                    $"'{partition.Topic}' has no partition {partition.Partition}; its partitions are 0 to {topic.Partitions - 1}.");
            partitions.Add(partition with { TopicId = topic.TopicId });
        }
        return await access.Broker.Transactions.SendAsync(request with { Partitions = partitions }, cancellationToken);
    }

    private static AddToTransactionResult Refused(ErrorCode error, string message) => new(error, 0, message);

    private static async ValueTask<TBody> ReadAsync<TBody>(HttpContext http, JsonTypeInfo<TBody> type, string example, long mostBytes)
        where TBody : class
    {
        _ = new QueryValues(http);
        RequestBody.Limit(http, mostBytes);
        return await JsonBodies.RequireAsync(http, type, example);
    }

    private static Task WriteAsync(HttpContext http, TransactionDescription transaction) => JsonBodies.WriteAsync(http,
        TransactionDescriptionDocument.Of(transaction), JsonBodies.TransactionAnswers.TransactionDescriptionDocument);
}
