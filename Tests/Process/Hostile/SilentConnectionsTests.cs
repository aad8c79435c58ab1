using System.Net;
using System.Net.Sockets;
using System.Text;
using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.Hostile;

/// <summary>More silent connections than a process may have open, beside a client that works.</summary>
public sealed class SilentConnectionsTests
{
    private const int OpenFiles = 1024;

    [SkippableFact]
    public async Task Silent_connections_take_neither_the_files_nor_the_memory_of_a_broker_and_delay_no_client()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "it reads /proc");
        using var directory = new TemporaryDirectory();
        await using var broker = await RunningBroker.UpAsync(OpenFiles, directory["data"], "--kafka", "127.0.0.1:0");
        using var good = new HttpClient { BaseAddress = new Uri(broker.Url), Timeout = RunningProgram.Patience };
        using var body = new StringContent("""{"partitions":20}""", Encoding.UTF8, "application/json");
        using (var created = await good.PutAsync("/api/topics/orders", body))
            Assert.Equal(HttpStatusCode.Created, created.StatusCode);

        var silent = new List<TcpClient>();
        try
        {
            foreach (var address in (string[])[new Uri(broker.Url).Authority, broker.Field("kafka")])
            {
                for (var number = 0; number < 1500; number++)
                {
                    silent.Add(await ConnectAsync(IPEndPoint.Parse(address)));
                    // The good client's connection is not idle for so long that either side closes it: there may be no room for another.
                    if (number % 100 == 0)
                        await SendAsync(number);
                }
            }
            for (var number = 0; number < 100; number++)
                await SendAsync(number);
            Assert.InRange(Directory.GetFiles($"/proc/{broker.Program.Id}/fd").Length, 1, OpenFiles - 50);
            Assert.InRange(MegabytesOf(broker.Program.Id), 1, 600);
        }
        finally
        {
            silent.ForEach(static client => client.Dispose());
        }
        // There is room again, for a new connection too.
        using var later = new HttpClient { BaseAddress = new Uri(broker.Url), Timeout = RunningProgram.Patience };
        using var deadline = new CancellationTokenSource(RunningProgram.Patience);
        while (await AnswerAsync(later, deadline.Token) != "ok")
            await Task.Delay(50, deadline.Token);

        async Task SendAsync(int number)
        {
            var line = $$"""{"value":"x","partition":{{number % 20}}}""";
            using var content = new StringContent(line, Encoding.UTF8, "application/x-ndjson");
            using var answer = await good.PostAsync("/api/topics/orders/records", content);
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        }
    }

    [SkippableFact]
    public async Task Broker_with_too_few_files_says_so_and_does_not_start()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "the limit is not known elsewhere");
        using var directory = new TemporaryDirectory();
        await using var program = new RunningProgram("bash",
            ["-c", "ulimit -n 256 && exec \"$0\" \"$@\"", Repository.Launcher, "up", "--data", directory["data"], "--http", "127.0.0.1:0"]);
        var outcome = (await program.ExitAsync()).Expect(1);
        Assert.Contains("may open 256 files", outcome.Error, StringComparison.Ordinal);
        Assert.Contains("ulimit -n", outcome.Error, StringComparison.Ordinal);
    }

    private static async Task<TcpClient> ConnectAsync(IPEndPoint address)
    {
        var client = new TcpClient();
        await client.ConnectAsync(address);
        return client;
    }

    private static async Task<string> AnswerAsync(HttpClient http, CancellationToken cancellationToken)
    {
        try
        {
            return await http.GetStringAsync("/readyz", cancellationToken);
        }
        catch (HttpRequestException)
        {
            return "";
        }
    }

    private static long MegabytesOf(int process) => long.Parse(File.ReadLines($"/proc/{process}/status")
        .Single(static line => line.StartsWith("VmRSS:", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1],
        System.Globalization.CultureInfo.InvariantCulture) / 1024;
}
