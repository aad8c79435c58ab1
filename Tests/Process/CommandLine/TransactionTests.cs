using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Process.CommandLine;

/// <summary><c>omq transaction</c> against a real broker.</summary>
public sealed class TransactionTests(StandaloneBroker standalone) : IClassFixture<StandaloneBroker>, IDisposable
{
    private readonly HttpBroker _broker = new(new Uri(standalone.Broker.Url), new HttpBrokerOptions { ClientName = "billing" });

    public void Dispose() => _broker.Dispose();

    [Fact]
    public async Task Transactions_are_listed_described_and_aborted()
    {
        await _broker.CreateTopicAsync(new NewTopic("orders", 2));
        var done = await TestTransactions.InitAsync(_broker, "done");
        await done.SendAsync("orders", 0, await done.AddAsync("orders", 0), 0, "a");
        await done.EndAsync(isCommit: true);
        // Longer than the commands take on a busy machine.
        var open = await TestTransactions.InitAsync(_broker, "open", TimeSpan.FromMinutes(10));
        await open.SendAsync("orders", 1, await open.AddAsync("orders", 1), 0, "b");
        Assert.Equal(ErrorCode.None, await open.CommitOffsetAsync("group", "orders", 0, 1));

        Assert.Matches(@"done +CompleteCommit +\d+ +-", (await OmqAsync("transaction list")).Text);
        Assert.Matches(@"^ID +PHASE +PRODUCER +OPEN SINCE *\nopen +Ongoing +\d+ +20\d\d-\S+Z",
            (await OmqAsync("transaction list --open")).Text);
        Assert.Equal(["open"], (await JsonAsync("transaction list --open --json")).EnumerateArray()
            .Select(static one => one.GetProperty("transactionalId").GetString()));

        Assert.Equal(["done"], (await JsonAsync("transaction list --after don --max 1 --json")).EnumerateArray()
            .Select(static one => one.GetProperty("transactionalId").GetString()));
        Assert.DoesNotMatch("done", (await OmqAsync("transaction list --after done")).Text);

        var ended = (await OmqAsync("transaction describe done")).Text;
        Assert.Contains("done  CompleteCommit  producer ", ended, StringComparison.Ordinal);
        Assert.Matches(@"Last end: +client 'billing' at /127\.0\.0\.1 committed transaction \d+ at 20\d\d-", ended);
        Assert.Contains("Last fence: none", ended, StringComparison.Ordinal);
        var described = (await OmqAsync("transaction describe open")).Text;
        Assert.Matches(@"Transaction \d+ is open since 20\d\d-", described);
        Assert.Matches(@"orders +1", described);
        Assert.Contains("Commits offsets of: group", described, StringComparison.Ordinal);

        Assert.Contains("is not its last one",
            (await standalone.Broker.OmqAsync(["transaction", "abort", "open", "--number", "1"])).Expect(1).Error,
            StringComparison.Ordinal);
        Assert.Matches(@"^open: transaction \d+ was aborted: an operator, client 'omq' at /127\.0\.0\.1, aborted it at 20\d\d-",
            (await OmqAsync("transaction abort open")).Text);
        Assert.Equal(ErrorCode.ProducerFenced, (await open.TryEndAsync(isCommit: true)).Error);
        var aborted = await JsonAsync("transaction describe open --json");
        Assert.Equal("CompleteAbort", aborted.GetProperty("phase").GetString());
        Assert.StartsWith("an operator, client 'omq'", aborted.GetProperty("lastFence").GetString(), StringComparison.Ordinal);
        Assert.Contains("has no open transaction",
            (await standalone.Broker.OmqAsync(["transaction", "abort", "open"])).Expect(1).Error, StringComparison.Ordinal);
        foreach (var command in (string[])["describe", "abort"])
            Assert.Contains("TransactionalIdNotFound",
                (await standalone.Broker.OmqAsync(["transaction", command, "nobody"])).Expect(1).Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Lines_are_sent_as_one_transaction_or_not_at_all()
    {
        await _broker.CreateTopicAsync(new NewTopic("lines", 2));
        var sent = (await ProduceAsync("a:1\nb:2\nc:3\n")).Expect(0);
        Assert.Contains("3 records acknowledged", sent.Error, StringComparison.Ordinal);
        var refused = (await ProduceAsync("d:4\nno separator\n")).Expect(1);
        Assert.Contains("Line 2 has no key separator", refused.Error, StringComparison.Ordinal);
        Assert.Contains("The transaction is aborted: none of them counts", refused.Error, StringComparison.Ordinal);
        Assert.Contains("--acks all", (await ProduceAsync("e:5\n", "--acks", "1")).Expect(2).Error, StringComparison.Ordinal);

        var read = (await OmqAsync("consume lines --isolation read_committed --idle-timeout 500")).Lines;
        Assert.Equal(["1", "2", "3"], read.Order());
        Assert.Matches(@"nightly +CompleteAbort", (await OmqAsync("transaction list")).Text);

        Task<Outcome> ProduceAsync(string lines, params string[] more) => standalone.Broker.OmqAsync(
            ["produce", "lines", "--key-separator", ":", "--transactional-id", "nightly", .. more],
            System.Text.Encoding.UTF8.GetBytes(lines));
    }

    private async Task<Outcome> OmqAsync(string arguments) =>
        (await standalone.Broker.OmqAsync(arguments.Split(' '))).Expect(0);

    private async Task<JsonElement> JsonAsync(string arguments) => JsonDocument.Parse((await OmqAsync(arguments)).Output).RootElement;
}
