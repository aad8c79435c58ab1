using OrleansMq.Quotas;
using OrleansMq.Testing;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Kafka.Schemas;

namespace OrleansMq.Tests.Kafka.Quotas;

/// <summary>Brokers with quotas, and what their answers say.</summary>
internal static class QuotaServer
{
    /// <summary>The user of a client that does not authenticate.</summary>
    public static QuotaEntity Anonymous { get; } = new("ANONYMOUS");

    /// <summary>Starts a broker whose clocks stand still until the test advances them.</summary>
    public static Task<KafkaServer> StartAsync(ManualTimeProvider time) =>
        KafkaServer.StartAsync(options => options with { TimeProvider = time }, time: time);

    /// <summary>Sets a limit, or removes it.</summary>
    public static ValueTask LimitAsync(this KafkaServer server, QuotaEntity entity, QuotaKey key, double? limit) =>
        server.Broker.Quotas.AlterAsync([new QuotaChange(entity, new Dictionary<QuotaKey, double?> { [key] = limit })]);

    /// <summary>Sends a request, and returns the text of its answer.</summary>
    public static async Task<string> AskAsync(this WireClient client, short key, short version,
        params (string Field, object? Value)[] values)
    {
        await client.SendAsync(Frames.Of(key, version, 1, values));
        return Text(key, version, await client.ReceiveAsync());
    }

    /// <summary>Returns the text of an answer.</summary>
    public static string Text(short key, short version, byte[]? answer)
    {
        Assert.NotNull(answer);
        return MessageText.OfResponse(Schema.Response(key), version, answer, 1);
    }

    /// <summary>Advances the clock until an answer is there, and returns how far.</summary>
    /// <param name="time">The clock.</param>
    /// <param name="answered">The answer.</param>
    /// <param name="expected">When the answer is due, for a test that bounds how late it comes: from then on the clock stands still for up
    /// to two seconds after each step, since an answer takes its own time; null: there is no such bound.</param>
    public static async Task<TimeSpan> AdvanceUntilAsync(this ManualTimeProvider time, Task answered, TimeSpan? expected = null)
    {
        var began = time.GetUtcNow();
        using var patience = new CancellationTokenSource(KafkaServer.Patience);
        while (!answered.IsCompleted)
        {
            patience.Token.ThrowIfCancellationRequested();
            time.Advance(TimeSpan.FromMilliseconds(100));
            var pause = time.GetUtcNow() - began >= expected ? TimeSpan.FromSeconds(2) : TimeSpan.FromMilliseconds(2);
            await Task.WhenAny(answered, Task.Delay(pause));
        }
        return time.GetUtcNow() - began;
    }

    /// <summary>Returns a number of an answer.</summary>
    public static long NumberOf(string answer, string field)
    {
        var at = answer.IndexOf($"{field}: ", StringComparison.Ordinal);
        Assert.True(at >= 0, $"There is no {field} in\n{answer}");
        var text = answer[(at + field.Length + 2)..];
        return long.Parse(text[..text.IndexOf('\n', StringComparison.Ordinal)], System.Globalization.CultureInfo.InvariantCulture);
    }
}
