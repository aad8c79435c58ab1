using System.Buffers.Binary;
using System.Net.Sockets;
using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Packages.Silos;

/// <summary>A silo and a worker made from the templates, as a team's first ten minutes have them.</summary>
[Collection(PackageFeedCollection.Name)]
public sealed class TemplateTests(PackageFeed feed)
{
    private const int Interrupt = 2;

    [Fact]
    public async Task Silo_and_worker_from_the_templates_exchange_orders()
    {
        var (silo, gateway, kafka, http, amqp) = (FreePort.Choose(), FreePort.Choose(), FreePort.Choose(), FreePort.Choose(),
            FreePort.Choose());
        var siloProgram = await feed.CreateAsync("omq-silo", "Broker", source => Change(source,
            (".UseLocalhostClustering()", $".UseLocalhostClustering({silo}, {gateway})"),
            (".AddKafka()", $".AddKafka(options => options with {{ Listen = new(System.Net.IPAddress.Loopback, {kafka}) }})\n"
                + $"    .AddAmqp(options => options with {{ Listen = new(System.Net.IPAddress.Loopback, {amqp}) }})"),
            (".AddHttp()", $".AddHttp(options => options with {{ Listen = new(System.Net.IPAddress.Loopback, {http}) }})")));
        var workerProgram = await feed.CreateAsync("omq-worker", "Shop", source => Change(source,
            (".UseLocalhostClustering()", $".UseLocalhostClustering({gateway})")));
        var omq = await feed.InstallToolAsync("OrleansMq.Cli", "omq");

        // In either order.
        await using var worker = feed.Start("dotnet", [workerProgram], feed["Shop"]);
        await worker.LineAsync(static line => line.Contains("No silo of the cluster answers yet", StringComparison.Ordinal));
        await using var broker = feed.Start("dotnet", [siloProgram], feed["Broker"]);
        await broker.LineAsync(static line => line.Contains("Application started", StringComparison.Ordinal));
        await worker.LineAsync(static line => line.StartsWith("Handled order 2 ", StringComparison.Ordinal));

        Assert.DoesNotContain(worker.Lines, static line => line.Contains("   at ", StringComparison.Ordinal));
        Assert.Contains("orders", (await feed.RunAsync(omq, ["topic", "list", "--server", $"http://127.0.0.1:{http}"])).Expect(0).Text,
            StringComparison.Ordinal);
        Assert.Equal(4711, await AskApiVersionsAsync(kafka, correlationId: 4711));
        Assert.Equal([1, 0, 0], await GreetOverAmqpAsync(amqp));
        worker.Signal(Interrupt);
        (await worker.ExitAsync()).Expect(0);
        broker.Signal(Interrupt);
        (await broker.ExitAsync()).Expect(0);
    }

    private static string Change(string source, params (string From, string To)[] changes)
    {
        foreach (var (from, to) in changes)
        {
            Assert.Contains(from, source, StringComparison.Ordinal);
            source = source.Replace(from, to, StringComparison.Ordinal);
        }
        return source;
    }

    // Returns how the frame begins that a broker greets with: of a method, on channel 0.
    private static async Task<byte[]> GreetOverAmqpAsync(int port)
    {
        using var client = new TcpClient();
        await client.ConnectAsync("127.0.0.1", port);
        await client.GetStream().WriteAsync("AMQP\0\0\u0009\u0001"u8.ToArray());
        var frame = new byte[3];
        await client.GetStream().ReadExactlyAsync(frame).AsTask().WaitAsync(RunningProgram.Patience);
        return frame;
    }

    // The shortest request of Kafka's protocol; returns the correlation id of the answer.
    private static async Task<int> AskApiVersionsAsync(int port, int correlationId)
    {
        using var client = new TcpClient();
        await client.ConnectAsync("127.0.0.1", port);
        // Length, key 18, version 0, correlation id, no client id.
        byte[] request = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
        BinaryPrimitives.WriteInt32BigEndian(request.AsSpan(8), correlationId);
        await client.GetStream().WriteAsync(request);
        var answer = new byte[8];
        await client.GetStream().ReadExactlyAsync(answer).AsTask().WaitAsync(RunningProgram.Patience);
        return BinaryPrimitives.ReadInt32BigEndian(answer.AsSpan(4));
    }
}
