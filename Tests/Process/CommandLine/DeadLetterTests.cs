using System.Text.Json;
using OrleansMq.Client;
using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.CommandLine;

/// <summary><c>omq dead-letter</c> against a real broker, and its documents over HTTP.</summary>
public sealed class DeadLetterTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    [Fact]
    public async Task Dead_letters_are_listed_shown_and_marked_when_they_were_sent_back()
    {
        using var broker = new HttpBroker(new Uri(shared.Broker.Url));
        await new Admin(broker).CreateTopicAsync("orders", 1);
        await new Admin(broker).CreateTopicAsync("orders.dead-letter", 1);
        await using (var producer = new Producer<string, string>(broker))
            await producer.SendAsync(new("orders.dead-letter", "customer-7", "two apples")
            {
                Headers = (RecordHeader[])
                [
                    RecordHeaders.Text(DeadLetterHeaders.Topic, "orders"), RecordHeaders.Text(DeadLetterHeaders.Partition, "0"),
                    RecordHeaders.Text(DeadLetterHeaders.Offset, "7"), RecordHeaders.Text(DeadLetterHeaders.Group, "billing"),
                    RecordHeaders.Text(DeadLetterHeaders.Attempts, "5"),
                    RecordHeaders.Text(DeadLetterHeaders.ExceptionType, "System.TimeoutException"),
                    RecordHeaders.Text(DeadLetterHeaders.ExceptionMessage, "The bank\ndoes not answer."),
                ],
            });

        var listed = (await OmqAsync("dead-letter list")).Lines;
        Assert.Equal(["orders.dead-letter", "orders", "billing", "1", "0"],
            listed[1].Split(' ', StringSplitOptions.RemoveEmptyEntries)[..5]);
        Assert.Contains("System.TimeoutException (1)", listed[1], StringComparison.Ordinal);
        Assert.Contains("orders-0@7", (await OmqAsync("dead-letter show orders.dead-letter")).Lines[1], StringComparison.Ordinal);
        await OmqAsync("dead-letter redrive orders.dead-letter");
        Assert.Equal(1, (await JsonAsync("dead-letter list --json"))[0].GetProperty("sources")[0].GetProperty("redriven").GetInt64());
        Assert.Equal(1, (await JsonAsync("dead-letter list orders.dead-letter --json"))[0].GetProperty("held").GetInt64());
        var letter = (await JsonAsync("dead-letter show orders.dead-letter --group billing --json")).GetProperty("letters")[0];
        Assert.Equal((5, "The bank\ndoes not answer."),
            (letter.GetProperty("attempts").GetInt32(), letter.GetProperty("exceptionMessage").GetString()));
        (await shared.Broker.OmqAsync(["dead-letter", "show", "none"])).Expect(1);

        using var http = new HttpClient { BaseAddress = new Uri(shared.Broker.Url) };
        Assert.Equal(await http.GetStringAsync("/api/dead-letters"), (await OmqAsync("dead-letter list --json")).Text.TrimEnd('\n'));
        Assert.Equal(await http.GetStringAsync("/api/dead-letters/orders.dead-letter/records?source=orders&limit=1"),
            (await OmqAsync("dead-letter show orders.dead-letter --source orders --max 1 --json")).Text.TrimEnd('\n'));
        Assert.Contains("\"held\":1", await http.GetStringAsync("/api/dead-letters/orders.dead-letter?maxRead=1"),
            StringComparison.Ordinal);
    }

    private async Task<Outcome> OmqAsync(string command) => (await shared.Broker.OmqAsync(command.Split(' '))).Expect(0);

    private async Task<JsonElement> JsonAsync(string command) => JsonDocument.Parse((await OmqAsync(command)).Output).RootElement;
}
