using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Silo.Http;

/// <summary>Produce requests cut into chunks at random, over a broker that answers late, in any order of partitions, and refuses some
/// batches. Every line is answered once, in order, and each answer gives the record's position.</summary>
public sealed class ProduceStreamRandomTests(RunningBroker broker) : IClassFixture<RunningBroker>, IDisposable
{
    private const int Rounds = 40;

    public void Dispose() => broker.Script.OnProduce = null;

    [Fact]
    public async Task Every_line_is_answered_in_order_under_any_timing()
    {
        var fixedSeed = Environment.GetEnvironmentVariable("OMQ_SEED");
        var first = fixedSeed is null ? Random.Shared.Next() : int.Parse(fixedSeed, CultureInfo.InvariantCulture);
        for (var seed = first; seed < first + (fixedSeed is null ? Rounds : 1); seed++)
        {
            try
            {
                await RunAsync(new Random(seed)).WaitAsync(RunningBroker.Patience);
            }
            catch (Exception e)
            {
                Assert.Fail($"seed {seed}: OMQ_SEED={seed} dotnet test Tests/Silo -p:Orleans=false --filter "
                    + $"ProduceStreamRandomTests\n{e}\n{broker.Log}");
            }
        }
    }

    private async Task RunAsync(Random random)
    {
        var partitions = random.Next(1, 6);
        var topic = await broker.CreateTopicAsync(partitions, """{"max.message.bytes":"20000"}""");
        var late = new LateBroker(random.Next(), refuses: random.Next(2) == 0);
        broker.Script.OnProduce = late.ProduceAsync;
        // Sometimes few lines or none: answers before the first flush are framed differently.
        var count = random.Next(10) == 0 ? random.Next(3) : random.Next(2000);
        var values = Enumerable.Range(0, count).Select(i => $"{i}-{new string('v', random.Next(random.Next(4) == 0 ? 3000 : 30))}")
            .ToList();
        var text = string.Concat(values.Select(value => Line(random, value, partitions)));

        using var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, broker.Http.BaseAddress!.Port);
        var answer = ReadAsync(client.GetStream());
        await SendAsync(client.GetStream(), topic, Encoding.UTF8.GetBytes(text), random);
        Check(values, await answer, late);
    }

    private static string Line(Random random, string value, int partitions)
    {
        var key = random.Next(2) == 0 ? $"\"key\":\"{random.Next(20)}\"," : "";
        var partition = random.Next(5) == 0 ? $",\"partition\":{random.Next(partitions)}" : "";
        return $"{{{key}\"value\":\"{value}\"{partition}}}" + (random.Next(10) == 0 ? "\r\n\n" : "\n");
    }

    private static async Task SendAsync(NetworkStream stream, string topic, byte[] body, Random random)
    {
        await stream.WriteAsync(Encoding.ASCII.GetBytes($"POST /api/topics/{topic}/records HTTP/1.1\r\nHost: localhost\r\nConnection: "
            + "close\r\nTransfer-Encoding: chunked\r\n\r\n"));
        for (var at = 0; at < body.Length;)
        {
            var length = Math.Min(body.Length - at, random.Next(1, random.Next(3) == 0 ? 50_000 : 500));
            await stream.WriteAsync(Encoding.ASCII.GetBytes($"{length:x}\r\n"));
            await stream.WriteAsync(body.AsMemory(at, length));
            await stream.WriteAsync("\r\n"u8.ToArray());
            at += length;
            if (random.Next(20) == 0)
                await Task.Yield();
        }
        await stream.WriteAsync("0\r\n\r\n"u8.ToArray());
    }

    private static async Task<string> ReadAsync(NetworkStream stream)
    {
        using var reader = new StreamReader(stream, Encoding.UTF8, leaveOpen: true);
        return await reader.ReadToEndAsync();
    }

    private static void Check(List<string> values, string response, LateBroker late)
    {
        var head = response[..response.IndexOf("\r\n\r\n", StringComparison.Ordinal)];
        if (!head.StartsWith("HTTP/1.1 200", StringComparison.Ordinal))
        {
            // Only if nothing was appended.
            Assert.StartsWith("HTTP/1.1 503", head, StringComparison.Ordinal);
            Assert.True(values.Count > 0 && late.Appended == 0);
            return;
        }
        var lines = RunningBroker.Lines(Body(head, response[(head.Length + 4)..]));
        Assert.Equal(values.Count, lines.Length);
        for (var i = 0; i < values.Count; i++)
        {
            var partition = lines[i].GetProperty("partition").GetInt32();
            if (lines[i].TryGetProperty("error", out var error))
            {
                Assert.Equal("too few", error.GetString());
                Assert.Contains(values[i], late.RefusedBy(partition));
            }
            else
            {
                Assert.Equal(values[i], late.AppendedTo(partition)[lines[i].GetProperty("offset").GetInt32()]);
            }
        }
        Assert.Equal(values.Count, late.Appended + late.Refused);
    }

    /// <summary>Returns the whole body, and fails if anything follows it. A response without lines has a known length; all others are
    /// chunked.</summary>
    private static string Body(string head, string rest)
    {
        if (head.Contains("\r\nTransfer-Encoding: chunked", StringComparison.OrdinalIgnoreCase))
            return Unchunk(rest);
        Assert.Contains("\r\nContent-Length: 0", head, StringComparison.OrdinalIgnoreCase);
        Assert.Empty(rest);
        return rest;
    }

    private static string Unchunk(string body)
    {
        var text = new StringBuilder();
        for (var at = 0; ;)
        {
            var end = body.IndexOf("\r\n", at, StringComparison.Ordinal);
            Assert.True(end >= 0, $"the answer was cut after {text.Length} of its bytes: its last chunk is missing");
            // The answers are ASCII, so characters are bytes.
            var length = Convert.ToInt32(body[at..end], 16);
            at = end + 4 + length;
            Assert.True(at <= body.Length, $"the answer was cut in a chunk, after {text.Length} bytes of those before it");
            text.Append(body, end + 2, length);
            if (length > 0)
                continue;
            Assert.Equal(body.Length, at);
            return text.ToString();
        }
    }

    /// <summary>Appends to lists with a delay, and sometimes refuses a batch. Fails if a partition gets a second batch before the first is
    /// answered.</summary>
    private sealed class LateBroker(int seed, bool refuses)
    {
        private readonly Lock _lock = new();
        private readonly Random _random = new(seed);
        private readonly Dictionary<int, List<string>> _appended = [];
        private readonly Dictionary<int, HashSet<string>> _refused = [];
        private readonly HashSet<int> _busy = [];

        public int Appended => _appended.Values.Sum(list => list.Count);

        public int Refused => _refused.Values.Sum(set => set.Count);

        public List<string> AppendedTo(int partition) => _appended[partition];

        public HashSet<string> RefusedBy(int partition) => _refused[partition];

        public ValueTask<ProduceResult>? ProduceAsync(TopicPartition partition, Memory<byte> batch)
        {
            lock (_lock)
            {
                Assert.True(_busy.Add(partition.Partition), $"{partition} was sent a batch before the one before it was answered");
                return AppendAsync(partition.Partition, batch, _random.Next(4), refused: refuses && _random.Next(5) == 0);
            }
        }

        private async ValueTask<ProduceResult> AppendAsync(int partition, Memory<byte> batch, int delay, bool refused)
        {
            if (delay == 1)
                await Task.Yield();
            else if (delay > 1)
                await Task.Delay(delay);
            lock (_lock)
            {
                _busy.Remove(partition);
                return refused ? Refuse(partition, batch) : Append(partition, batch);
            }
        }

        private ProduceResult Append(int partition, Memory<byte> batch)
        {
            if (!_appended.TryGetValue(partition, out var list))
                _appended.Add(partition, list = []);
            var result = new ProduceResult(ErrorCode.None, list.Count);
            list.AddRange(Values(batch));
            return result;
        }

        private ProduceResult Refuse(int partition, Memory<byte> batch)
        {
            if (!_refused.TryGetValue(partition, out var set))
                _refused.Add(partition, set = []);
            set.UnionWith(Values(batch));
            return ProduceResult.Failed(ErrorCode.NotEnoughReplicas, "too few");
        }

        private static IEnumerable<string> Values(Memory<byte> batch)
        {
            using var reader = new RecordReader(batch, StandardCodecs.All);
            while (reader.MoveNext())
                yield return Encoding.UTF8.GetString(reader.Current.Value!.Value.Span);
        }
    }
}
