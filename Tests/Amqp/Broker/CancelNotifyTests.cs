using System.Net;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Tests.Amqp.Sockets;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>What clients hear of consumers whose queue is deleted.</summary>
public sealed class CancelNotifyTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("omq-cancels").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Channel_that_deletes_a_queue_is_answered_before_its_consumers_are_cancelled(bool isDurable)
    {
        await using var gateway = await RunningGateway.StartAsync(_directory);
        await using var client = await OpenAsync(gateway, "consumer_cancel_notify");
        await ConsumeAsync(client, 1, isDurable, "a", "b");
        await ConsumeAsync(client, 2, isDurable, "c");
        await client.SendAsync(1, new QueueDelete("q", false, false, false));
        var said = new List<(ushort Channel, IMethod Method)>();
        while (said.Count < 4)
            said.Add(await ReceiveAsync(client));
        Assert.IsType<QueueDeleteOk>(said.First(static one => one.Channel == 1).Method);
        Assert.Equal(["a", "b"], CancelsOf(said, 1));
        Assert.Equal(["c"], CancelsOf(said, 2));
    }

    [Fact]
    public async Task Deletion_without_an_answer_cancels_and_client_without_the_capability_hears_nothing()
    {
        await using var gateway = await RunningGateway.StartAsync(_directory);
        await using var client = await OpenAsync(gateway, "consumer_cancel_notify");
        await using var old = await OpenAsync(gateway);
        await ConsumeAsync(client, 1, isDurable: true, "a");
        await ConsumeAsync(old, 1, isDurable: true, "z");
        await client.SendAsync(1, new QueueDelete("q", false, false, true));
        Assert.Equal("a", Assert.IsType<BasicCancel>((await ReceiveAsync(client)).Method).ConsumerTag);
        await old.SendAsync(1, new BasicQos(0, 1, false));
        Assert.IsType<BasicQosOk>((await ReceiveAsync(old)).Method);
    }

    private static Task<WireClient> OpenAsync(RunningGateway gateway, params string[] capabilities) =>
        WireClient.OpenAsync(new IPEndPoint(IPAddress.Loopback, gateway.Port), 0, capabilities);

    private static async Task ConsumeAsync(WireClient client, ushort channel, bool isDurable, params string[] tags)
    {
        await client.SendAsync(channel, new ChannelOpen());
        Assert.IsType<ChannelOpenOk>((await ReceiveAsync(client)).Method);
        await client.SendAsync(channel, new QueueDeclare("q", false, isDurable, false, false, false, default));
        Assert.IsType<QueueDeclareOk>((await ReceiveAsync(client)).Method);
        foreach (var tag in tags)
        {
            await client.SendAsync(channel, new BasicConsume("q", tag, false, false, false, false, default));
            Assert.IsType<BasicConsumeOk>((await ReceiveAsync(client)).Method);
        }
    }

    private static async Task<(ushort Channel, IMethod Method)> ReceiveAsync(WireClient client)
    {
        var (head, payload) = (await client.ReceiveAsync())!.Value;
        return (head.Channel, Frames.ReadMethod(payload));
    }

    private static IEnumerable<string> CancelsOf(List<(ushort Channel, IMethod Method)> said, ushort channel) =>
        said.Where(one => one.Channel == channel).Select(static one => one.Method).OfType<BasicCancel>()
            .Select(static cancel => cancel.ConsumerTag).Order(StringComparer.Ordinal);
}
