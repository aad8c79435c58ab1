using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Silo.Http;

/// <summary>Transactions over HTTP: requests arrive, and answers return, unchanged; what is wrong is refused by name.</summary>
public sealed class TransactionApiTests : IClassFixture<RunningBroker>, IDisposable
{
    private static readonly ProducerIdentity Producer = new(7, 3);
    private static readonly TransactionCaller Caller = new($"client 'billing' at /{IPAddress.Loopback}");
    private readonly RunningBroker _broker;
    private readonly HttpBroker _client;
    private readonly RecordedTransactions _transactions = new();

    public TransactionApiTests(RunningBroker broker)
    {
        _broker = broker;
        _broker.Script.OnTransactions = _transactions;
        _client = new HttpBroker(broker.Http.BaseAddress!, new HttpBrokerOptions { ClientName = "billing" });
    }

    public void Dispose()
    {
        _client.Dispose();
        _broker.Script.OnTransactions = null;
        _broker.Script.OnGroups = null;
    }

    [Fact]
    public async Task Ids_are_listed_page_by_page_behind_an_id()
    {
        _transactions.Lists = [.. Enumerable.Range(0, 2_000)
            .Select(static number => new TransactionListing($"t/{number:D4}", number, TransactionPhase.Empty, null))];
        Assert.Equal(["t/0000", "t/0001"], await IdsAsync("?max=2"));
        Assert.Equal(["t/0002", "t/0003"], await IdsAsync("?max=2&after=t%2F0001"));
        Assert.Equal(["t/1999"], await IdsAsync("?after=t%2F1998x"));
        Assert.Empty(await IdsAsync("?after=t%2F1999"));
        Assert.Equal(2_000, (await IdsAsync("")).Count);
        Same(_transactions.Lists, await _client.Transactions.ListTransactionsAsync());
        foreach (var wrong in new[] { "0", "all" })
        {
            using var refused = await _broker.Http.GetAsync("/api/transactions?max=" + wrong);
            await RunningBroker.AssertProblemAsync(refused, 400, ErrorCode.InvalidRequest, "'max'");
        }

        async Task<List<string?>> IdsAsync(string query)
        {
            using var listed = JsonDocument.Parse(await _broker.Http.GetStringAsync("/api/transactions" + query));
            return [.. listed.RootElement.EnumerateArray().Select(static one => one.GetProperty("transactionalId").GetString())];
        }
    }

    [Fact]
    public async Task Every_request_arrives_with_the_broker_as_judge_of_its_caller_and_every_answer_returns()
    {
        var topic = await _broker.CreateTopicAsync(partitions: 2);
        var topicId = (await _client.GetTopicAsync(topic)).TopicId;
        var forged = new TransactionCaller("somebody else", 5, 6);
        var init = new InitTransactions
        {
            TransactionalId = "t",
            Timeout = TimeSpan.FromMilliseconds(60_001),
            Current = Producer,
            RequestId = Guid.NewGuid(),
        };
        var add = new AddToTransaction
        {
            TransactionalId = "t",
            Producer = Producer,
            Partitions = [new TransactionPartition(topic, 1, topicId)],
            Groups = ["g"],
            VerifyOnly = true,
        };
        var end = new EndTransaction { TransactionalId = "t", Producer = Producer, IsCommit = true, WaitsForMarkers = true, Number = 5 };
        var over = _client.Transactions;

        Same(RecordedTransactions.Initialized, await over.SendAsync(init with { Caller = forged }));
        Same(RecordedTransactions.Added, await over.SendAsync(add with { Caller = forged }));
        Same(RecordedTransactions.Ended, await over.SendAsync(end with { Caller = forged }));
        Same(RecordedTransactions.Ended, await over.SendAsync(end with { RaisesEpoch = true, IsCommit = false, WaitsForMarkers = false }));
        Same(RecordedTransactions.Described, await over.SendAsync(new DescribeTransaction("t")));
        Same(RecordedTransactions.Described, await over.SendAsync(new AbortTransaction("t", forged)));
        Same(RecordedTransactions.Described, await over.SendAsync(new AbortTransaction("t", forged, 9)));
        Same(RecordedTransactions.Listed, await over.ListTransactionsAsync());
        Assert.Equal(2, await over.FindCoordinatorAsync("t"));
        Same<object[]>(
        [
            init with { Caller = Caller }, add with { Caller = Caller }, end with { Caller = Caller },
            end with { Caller = Caller, RaisesEpoch = true, IsCommit = false, WaitsForMarkers = false }, new DescribeTransaction("t"),
            new AbortTransaction("t", Caller), new AbortTransaction("t", Caller, 9), "list", "find t",
        ], [.. _transactions.Asked]);
    }

    [Fact]
    public async Task Omitted_fields_have_safe_defaults_and_the_topic_is_the_present_one()
    {
        var topic = await _broker.CreateTopicAsync();
        var topicId = (await _client.GetTopicAsync(topic)).TopicId;
        await PostAsync("init", """{"transactionalId":"t"}""");
        await PostAsync("add",
            $$"""{"transactionalId":"t","producer":{{Of(Producer)}},"partitions":[{"topic":"{{topic}}","partition":0}]}""");
        await PostAsync("end", $$"""{"transactionalId":"t","producer":{{Of(Producer)}},"isCommit":false}""");
        var caller = new TransactionCaller($"client at /{IPAddress.Loopback}");
        Same<object[]>(
        [
            new InitTransactions { TransactionalId = "t", Timeout = TimeSpan.FromMinutes(1), Caller = caller },
            new AddToTransaction
            {
                TransactionalId = "t",
                Producer = Producer,
                Partitions = [new TransactionPartition(topic, 0, topicId)],
                RaisesEpoch = true,
                Caller = caller,
            },
            new EndTransaction { TransactionalId = "t", Producer = Producer, IsCommit = false, RaisesEpoch = true, Caller = caller },
        ], [.. _transactions.Asked]);
    }

    [Fact]
    public async Task End_that_could_come_late_needs_the_number_of_its_transaction()
    {
        var refused = await _client.Transactions.SendAsync(new EndTransaction
        {
            TransactionalId = "t",
            Producer = Producer,
            IsCommit = true,
        });
        Assert.Equal(ErrorCode.InvalidRequest, refused.Error);
        Assert.Contains("raisesEpoch", refused.Message, StringComparison.Ordinal);
        Assert.Empty(_transactions.Asked);
    }

    [Theory]
    [InlineData("GET", "/api/transactions/other/../t")]
    [InlineData("POST", "/api/transactions/other/%2E./t/abort")]
    [InlineData("POST", "/api/transactions/other/%2e%2e/t/abort")]
    [InlineData("GET", "/api/transactions/./t")]
    [InlineData("GET", "/api/groups/other/../g")]
    [InlineData("GET", "/api/topics/../transactions/t")]
    public async Task Path_with_dot_segments_is_refused(string method, string path)
    {
        await using var exchange = await RawExchange.SendAsync(_broker,
            $"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        var answer = await exchange.ReadToEndAsync();
        Assert.StartsWith("HTTP/1.1 400", answer, StringComparison.Ordinal);
        Assert.Contains("which means another path", answer, StringComparison.Ordinal);
        Assert.Empty(_transactions.Asked);
    }

    [Fact]
    public async Task Name_of_a_client_is_bounded_and_has_no_control_characters()
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/api/transactions/t/abort");
        Assert.True(request.Headers.TryAddWithoutValidation("User-Agent", "tab\tand" + new string('x', 300)));
        using var response = await _broker.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal($"client 'tab?and{new string('x', 93)}' at /{IPAddress.Loopback}",
            Assert.IsType<AbortTransaction>(Assert.Single(_transactions.Asked)).Caller.Name);
    }

    [Theory]
    [InlineData("billing-1")]
    [InlineData("a/b")]
    [InlineData("100%2F off?")]
    [InlineData("日本 + \\ # ;")]
    [InlineData("init")]
    [InlineData("...")]
    public async Task Transactional_id_may_have_any_characters(string id)
    {
        await _client.Transactions.SendAsync(new DescribeTransaction(id));
        await _client.Transactions.SendAsync(new AbortTransaction(id));
        await _client.Transactions.FindCoordinatorAsync(id);
        Same<object[]>([new DescribeTransaction(id), new AbortTransaction(id, Caller), "find " + id], [.. _transactions.Asked]);
    }

    [Theory]
    [InlineData("")]
    [InlineData(".")]
    [InlineData("..")]
    public async Task Id_that_no_path_can_hold_is_refused(string id)
    {
        Assert.Equal(ErrorCode.InvalidRequest, (await Assert.ThrowsAsync<BrokerException>(async () =>
            await _client.Transactions.SendAsync(new DescribeTransaction(id)))).Code);
        Assert.Equal(ErrorCode.InvalidRequest, (await Assert.ThrowsAsync<BrokerException>(async () =>
            await _client.Transactions.FindCoordinatorAsync(id))).Code);
    }

    [Theory]
    [InlineData(ErrorCode.TransactionalIdNotFound, 404)]
    [InlineData(ErrorCode.InvalidTxnState, 409)]
    [InlineData(ErrorCode.ConcurrentTransactions, 409)]
    [InlineData(ErrorCode.InvalidRequest, 400)]
    [InlineData(ErrorCode.ClusterAuthorizationFailed, 403)]
    [InlineData(ErrorCode.CoordinatorNotAvailable, 503)]
    public async Task Administration_errors_are_problems_and_map_back_to_errors(ErrorCode code, int status)
    {
        _transactions.Before = () => throw new BrokerException(code, "'t': a reason.");
        using var response = await _broker.Http.PostAsync("/api/transactions/t/abort", null);
        await RunningBroker.AssertProblemAsync(response, status, code, "a reason");
        var thrown = await Assert.ThrowsAsync<BrokerException>(async () =>
            await _client.Transactions.SendAsync(new AbortTransaction("t")));
        Assert.Equal((code, "'t': a reason."), (thrown.Code, thrown.Message));
    }

    [Fact]
    public async Task Unknown_id_is_not_found()
    {
        _broker.Script.OnTransactions = null;
        using var described = await _broker.Http.GetAsync("/api/transactions/nobody");
        await RunningBroker.AssertProblemAsync(described, 404, ErrorCode.TransactionalIdNotFound, "nobody");
        using var aborted = await _broker.Http.PostAsync("/api/transactions/nobody/abort", null);
        await RunningBroker.AssertProblemAsync(aborted, 404, ErrorCode.TransactionalIdNotFound, "nobody");
    }

    [Theory]
    [InlineData("init", "", "transactionalId")]
    [InlineData("init", "{}", "transactionalId")]
    [InlineData("init", """{"transactionalId":null}""", "$.transactionalId")]
    [InlineData("init", """{"transactionalId":"t","timeoutMs":"1"}""", "$.timeoutMs")]
    [InlineData("init", """{"transactionalId":"t","current":{"producerId":1}}""", "$.current")]
    [InlineData("init", """{"transactionalId":"t","caller":{"name":"x"}}""", "caller")]
    [InlineData("add", """{"transactionalId":"t"}""", "producer")]
    [InlineData("add", """{"transactionalId":"t","producer":{}}""", "$.producer")]
    [InlineData("end", """{"transactionalId":"t","producer":{"producerEpoch":0},"isCommit":true}""", "$.producer")]
    [InlineData("add", """{"transactionalId":"t","producer":{"producerId":1,"producerEpoch":40000}}""", "$.producer.producerEpoch")]
    [InlineData("add", """{"transactionalId":"t","producer":{"producerId":1,"producerEpoch":0},"partitions":[null]}""", "'partitions'")]
    [InlineData("add", """{"transactionalId":"t","producer":{"producerId":1,"producerEpoch":0},"partitions":[{"topic":"x"}]}""",
        "$.partitions[0]")]
    [InlineData("add", """{"transactionalId":"t","producer":{"producerId":1,"producerEpoch":0},"groups":[null]}""", "'groups'")]
    [InlineData("end", """{"transactionalId":"t","producer":{"producerId":1,"producerEpoch":0}}""", "isCommit")]
    [InlineData("end", """{"transactionalId":"t","producer":{"producerId":1,"producerEpoch":0},"isCommit":true,"caller":1}""", "caller")]
    public async Task Invalid_request_is_refused_by_name_and_not_forwarded(string path, string body, string named)
    {
        using var response = await _broker.Http.PostAsync("/api/transactions/" + path, RunningBroker.Json(body));
        await RunningBroker.AssertProblemAsync(response, 400, ErrorCode.InvalidRequest, named);
        Assert.Empty(_transactions.Asked);
    }

    [Theory]
    [InlineData("init", 1 << 20)]
    [InlineData("add", 16 << 20)]
    [InlineData("end", 1 << 20)]
    public async Task Body_that_is_too_large_is_refused(string path, int most)
    {
        await using var announced = await RawExchange.SendAsync(_broker,
            $"POST /api/transactions/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
            + $"Content-Length: {most + 1}\r\n\r\n");
        Assert.Equal("HTTP/1.1 413", await announced.ReadAsync(12));
        Assert.Empty(_transactions.Asked);
    }

    [Fact]
    public async Task Participant_that_cannot_be_told_of_the_end_is_not_added()
    {
        var topic = await _broker.CreateTopicAsync();
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, await AddAsync([new TransactionPartition("nowhere", 0, default)]));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, await AddAsync([new TransactionPartition(topic, 1, default)]));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, await AddAsync([new TransactionPartition(topic, -1, default)]));
        Assert.Equal(ErrorCode.UnknownTopicId, await AddAsync([new TransactionPartition(topic, 0, Guid.NewGuid())]));
        Assert.Equal(ErrorCode.InvalidGroupId, await AddAsync([], ""));
        Assert.Empty(_transactions.Asked);

        async Task<ErrorCode> AddAsync(IReadOnlyList<TransactionPartition> partitions, params string[] groups)
        {
            var added = await _client.Transactions.SendAsync(new AddToTransaction
            {
                TransactionalId = "t",
                Producer = Producer,
                Partitions = partitions,
                Groups = groups,
            });
            Assert.NotEmpty(added.Message!);
            return added.Error;
        }
    }

    [Fact]
    public async Task End_of_a_transaction_in_a_group_has_no_route()
    {
        await Assert.ThrowsAsync<NotSupportedException>(async () => await _client.Groups.SendAsync(new EndTransactionOffsets
        {
            GroupId = "g",
            Producer = Producer,
            Number = 1,
            CoordinatorEpoch = 1,
            IsCommit = true,
        }));
        using var response = await _broker.Http.PostAsync("/api/groups/end-transaction-offsets", RunningBroker.Json("{}"));
        Assert.True(response.StatusCode is HttpStatusCode.NotFound or HttpStatusCode.MethodNotAllowed, $"{response.StatusCode}");
    }

    [Fact]
    public async Task Offsets_in_a_transaction_arrive_and_their_answer_returns()
    {
        var groups = new RecordedGroups();
        _broker.Script.OnGroups = groups;
        _transactions.Adds = RecordedTransactions.Added with { Error = ErrorCode.None };
        var commit = new TransactionOffsetCommit
        {
            GroupId = "g",
            TransactionalId = "t",
            Producer = Producer,
            Number = 1_767_225_600_001,
            GenerationIdOrMemberEpoch = 3,
            MemberId = "m",
            GroupInstanceId = "i",
            Offsets = [new PartitionOffset("orders", 1, new CommittedOffset(long.MaxValue, 4, "wörds"), Guid.NewGuid())],
        };
        Same(RecordedGroups.Committed, await _client.Groups.SendAsync(commit));
        Same<object>(commit, Assert.Single(groups.Asked));
        Assert.True(Assert.IsType<AddToTransaction>(Assert.Single(_transactions.Asked)).VerifyOnly);

        foreach (var (body, named) in ((string, string)[])[
            ("{}", "groupId"),
            ($$"""{"groupId":"g","transactionalId":"t","producer":{{Of(Producer)}},"number":1,"offsets":[null]}""", "'offsets'"),
            ($$"""{"groupId":"g","transactionalId":"t","producer":{{Of(Producer)}},"offsets":[]}""", "body")])
        {
            using var response = await _broker.Http.PostAsync("/api/groups/commit-transaction-offsets", RunningBroker.Json(body));
            await RunningBroker.AssertProblemAsync(response, 400, ErrorCode.InvalidRequest, named);
        }
        Assert.Single(groups.Asked);
    }

    [Theory]
    [InlineData("?transactionalId=t&transaction=-1", "'transaction' is '-1'")]
    [InlineData("?transactionalId=t&transaction=x", "'transaction' is 'x'")]
    [InlineData("?transactionalId=t&transaction=1&acks=1", "'acks' is '1'")]
    [InlineData("?transactionalId=t&transaction=1&acks=replicated", "'acks' is 'replicated'")]
    [InlineData("?transaction=1", "one is missing")]
    [InlineData("?transactionalId=t", "one is missing")]
    public async Task Batch_of_a_transaction_with_a_wrong_query_is_refused(string query, string named)
    {
        var topic = await _broker.CreateTopicAsync();
        using var batch = new ByteArrayContent(TestBatches.InTransaction(Producer, 0, "a"))
        {
            Headers = { ContentType = MediaTypeHeaderValue.Parse(HttpContract.RecordBatchMediaType) },
        };
        using var response = await _broker.Http.PostAsync($"/api/topics/{topic}/partitions/0/batches{query}", batch);
        await RunningBroker.AssertProblemAsync(response, 400, ErrorCode.InvalidRequest, named);
    }

    [Fact]
    public async Task Batch_that_belongs_to_no_transaction_is_refused_with_a_number()
    {
        var topic = await _broker.CreateTopicAsync();
        using var batch = new ByteArrayContent(TestBatches.Of("a"))
        {
            Headers = { ContentType = MediaTypeHeaderValue.Parse(HttpContract.RecordBatchMediaType) },
        };
        using var response = await _broker.Http.PostAsync(
            $"/api/topics/{topic}/partitions/0/batches?transaction=1&transactionalId=t", batch);
        await RunningBroker.AssertProblemAsync(response, 400, ErrorCode.InvalidRequest, "belongs to no transaction");
        Assert.Equal(0, (await _client.FindOffsetAsync(new TopicPartition(topic, 0), OffsetSpec.Latest)).Offset);
    }

    [Fact]
    public async Task Addition_of_more_than_a_transaction_may_have_is_refused_before_the_coordinator_sees_it()
    {
        var added = await _client.Transactions.SendAsync(new AddToTransaction
        {
            TransactionalId = "t",
            Producer = Producer,
            Groups = [.. Enumerable.Range(0, 10_001).Select(static i => $"g{i}")],
        });
        Assert.Equal(ErrorCode.InvalidRequest, added.Error);
        Assert.Contains("10001", added.Message, StringComparison.Ordinal);
        Assert.Empty(_transactions.Asked);
    }

    [Fact]
    public async Task Producer_is_told_to_retry_when_no_broker_answers()
    {
        using var client = new HttpBroker(Nobody());
        Assert.Equal((ErrorCode.CoordinatorNotAvailable, new ProducerIdentity(-1, -1)),
            await AllAsync(client) is var (init, _, _) ? (init.Error, init.Producer) : default);
        var (_, add, end) = await AllAsync(client);
        Assert.Equal((ErrorCode.CoordinatorNotAvailable, ErrorCode.CoordinatorNotAvailable), (add.Error, end.Error));
        await Assert.ThrowsAsync<BrokerUnreachableException>(async () => await client.Transactions.ListTransactionsAsync());
        var sent = await client.ProduceInTransactionAsync(new TopicPartition("orders", 0), TestBatches.InTransaction(Producer, 0, "a"),
            new BatchTransaction("t", 1));
        Assert.Equal(ErrorCode.LeaderNotAvailable, sent.Error);
    }

    [Fact]
    public async Task Outcome_that_is_not_known_is_told_as_one_to_repeat()
    {
        // A proxy gives up on the broker, which may have done what it was asked for.
        using var handler = new AnsweringHandler(static _ => new HttpResponseMessage(HttpStatusCode.GatewayTimeout));
        using var http = new HttpClient(handler);
        using var client = new HttpBroker(http, new Uri("http://broker"));
        var (init, add, end) = await AllAsync(client);
        Assert.Equal((ErrorCode.CoordinatorNotAvailable, ErrorCode.CoordinatorNotAvailable, ErrorCode.CoordinatorNotAvailable),
            (init.Error, add.Error, end.Error));
        Assert.Equal(ErrorAction.Retry, end.Error.Action());
        var committed = await client.Groups.SendAsync(new TransactionOffsetCommit
        {
            GroupId = "g",
            TransactionalId = "t",
            Producer = Producer,
            Number = 1,
            Offsets = [new PartitionOffset("orders", 0, new CommittedOffset(1))],
        });
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, Assert.Single(committed.Partitions).Error);
        var sent = await client.ProduceInTransactionAsync(new TopicPartition("orders", 0), TestBatches.InTransaction(Producer, 0, "a"),
            new BatchTransaction("t", 1));
        Assert.Equal(ErrorCode.RequestTimedOut, sent.Error);
        var abort = await Assert.ThrowsAsync<BrokerUnreachableException>(async () =>
            await client.Transactions.SendAsync(new AbortTransaction("t")));
        Assert.Equal(ErrorAction.Retry, abort.Action);
    }

    [Fact]
    public async Task Missing_rights_are_in_the_answer_and_of_an_operator_a_problem()
    {
        var broker = new RunningBroker { Authorizer = new OwnIdAlone() };
        await broker.InitializeAsync();
        try
        {
            var topic = await broker.CreateTopicAsync();
            using var client = new HttpBroker(broker.Http.BaseAddress!);
            var own = await TestTransactions.InitAsync(client, "own");
            var number = await own.AddAsync(topic, 0);
            Assert.Equal(ErrorCode.None, await own.CommitOffsetAsync("group", topic, 0, 1));
            Assert.Equal(ErrorCode.TopicAuthorizationFailed, await AddAsync("own", [new TransactionPartition("secret", 0, default)]));
            Assert.Equal(ErrorCode.GroupAuthorizationFailed, await AddAsync("own", [], "secret"));
            Assert.Equal(ErrorCode.TransactionalIdAuthorizationFailed, await AddAsync("other", []));
            var commit = new TransactionOffsetCommit
            {
                GroupId = "group",
                TransactionalId = "other",
                Producer = own.Identity,
                Number = number,
                Offsets = [new PartitionOffset(topic, 0, new CommittedOffset(1))],
            };
            Assert.Equal(ErrorCode.TransactionalIdAuthorizationFailed,
                Assert.Single((await client.Groups.SendAsync(commit)).Partitions).Error);
            using var described = await broker.Http.GetAsync("/api/transactions/other");
            await RunningBroker.AssertProblemAsync(described, 403, ErrorCode.TransactionalIdAuthorizationFailed, "other");
            using var aborted = await broker.Http.PostAsync("/api/transactions/own/abort", null);
            await RunningBroker.AssertProblemAsync(aborted, 403, ErrorCode.ClusterAuthorizationFailed, "Alter");
            Assert.Equal("own", Assert.Single(await client.Transactions.ListTransactionsAsync()).TransactionalId);
            var inside = broker.Script.Transactions;
            var secret = await broker.Script.CreateTopicAsync(new NewTopic("secret"));
            Assert.Equal(ErrorCode.None, (await inside.SendAsync(new AddToTransaction
            {
                TransactionalId = "own",
                Producer = own.Identity,
                Partitions = [new TransactionPartition(secret.Name, 0, secret.TopicId)],
                Groups = ["secret"],
            })).Error);
            Assert.Equal(["group", "secret"], (await inside.SendAsync(new DescribeTransaction("own"))).Groups);
            var seen = await own.DescribeAsync();
            Assert.Equal((topic, "group"), (Assert.Single(seen.Partitions).Topic, Assert.Single(seen.Groups)));
            Assert.Equal(ErrorCode.None, (await own.TryEndAsync(isCommit: true)).Error);

            async Task<ErrorCode> AddAsync(string id, IReadOnlyList<TransactionPartition> partitions, params string[] groups) =>
                (await client.Transactions.SendAsync(new AddToTransaction
                {
                    TransactionalId = id,
                    Producer = own.Identity,
                    Partitions = partitions,
                    Groups = groups,
                })).Error;
        }
        finally
        {
            await broker.DisposeAsync();
        }
    }

    private static async Task<(InitTransactionsResult Init, AddToTransactionResult Add, EndTransactionResult End)> AllAsync(
        IBroker broker) =>
        (await broker.Transactions.SendAsync(new InitTransactions { TransactionalId = "t", Timeout = TimeSpan.FromMinutes(1) }),
            await broker.Transactions.SendAsync(new AddToTransaction { TransactionalId = "t", Producer = Producer, Groups = ["g"] }),
            await broker.Transactions.SendAsync(
                new EndTransaction { TransactionalId = "t", Producer = Producer, IsCommit = true, Number = 1 }));

    /// <summary>An address that refuses connections: port 1 is privileged and unused.</summary>
    private static Uri Nobody() => new("http://127.0.0.1:1");

    private static string Of(ProducerIdentity producer) =>
        $$"""{"producerId":{{producer.ProducerId}},"producerEpoch":{{producer.ProducerEpoch}}}""";

    private async Task PostAsync(string path, string body)
    {
        using var response = await _broker.Http.PostAsync("/api/transactions/" + path, RunningBroker.Json(body));
        Assert.True(response.StatusCode == HttpStatusCode.OK, await response.Content.ReadAsStringAsync());
    }

    private static void Same<T>(T expected, T actual) => Assert.Equal(JsonSerializer.Serialize(expected), JsonSerializer.Serialize(actual));

    private sealed class AnsweringHandler(Func<HttpRequestMessage, HttpResponseMessage> answer) : HttpMessageHandler
    {
        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            if (request.Content is { } content)
                await content.CopyToAsync(Stream.Null, cancellationToken);
            var response = answer(request);
            response.RequestMessage = request;
            return response;
        }
    }

    /// <summary>A client that may use its own transactional id, and is no operator.</summary>
    private sealed class OwnIdAlone : IAuthorizer
    {
        public int Version => 0;

        public bool Allows(BrokerSession session, AccessOperation operation, ResourceType type, string name) => type switch
        {
            ResourceType.TransactionalId => name == "own",
            ResourceType.Cluster => operation != AccessOperation.Alter,
            _ => name != "secret",
        };
    }
}
