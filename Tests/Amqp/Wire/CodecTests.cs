using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Records;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Amqp.Wire;

/// <summary>Methods and properties: what is written is read again, hostile bytes do no harm, and hot paths take little memory.</summary>
public sealed class CodecTests(ITestOutputHelper output)
{
    // What a frame may allocate for each of its bytes: a character of a string takes two bytes, its decoder's fault some more.
    private const int AllocatedPerByte = 4;
    // A boxed method, the heads of its strings and arrays, or an exception.
    private const int AllocatedBeside = 8192;

    [Fact]
    public void Frame_that_cannot_be_written_leaves_nothing_behind()
    {
        using var frames = new PooledBuffer();
        Frames.WriteHeartbeat(frames);
        var before = frames.Length;
        var tooLong = new string('x', 256);
        Assert.Throws<ArgumentException>(() => Frames.WriteMethod(frames, 1, new BasicCancelOk(tooLong)));
        Assert.Equal(before, frames.Length);
        Assert.Throws<ArgumentException>(() => Frames.WriteContent(frames, 1, new BasicDeliver("c", 1, false, "", tooLong),
            ContentProperties.None.Bytes.Span, "body"u8, 4096));
        Assert.Equal(before, frames.Length);
    }

    [Fact]
    public void Table_has_every_method_once()
    {
        Assert.Equal(RandomMethods.Ids.OrderBy(static id => (id.ClassId, id.Index)),
            MethodTable.All.OrderBy(static id => (id.ClassId, id.Index)));
        Assert.All(MethodTable.All, static id => Assert.NotNull(MethodTable.NameOf(id)));
        Assert.Equal(["basic.publish", "basic.return", "basic.deliver", "basic.get-ok"],
            MethodTable.All.Where(MethodTable.HasContent).Select(static id => id.ToString()));
    }

    [Fact]
    public void Random_methods_and_properties_are_read_as_they_were_written()
    {
        var seed = Seeds.Next();
        var random = new Random(seed);
        var names = new NamePool();
        using var written = new PooledBuffer();
        try
        {
            for (var round = 0; round < 500; round++)
            {
                foreach (var id in MethodTable.All)
                {
                    var method = RandomMethods.Method(id, random);
                    written.Clear();
                    Frames.WriteMethod(written, 1, method);
                    var head = FrameHead.Read(written.WrittenSpan);
                    Assert.Equal(Frames.End, written.WrittenSpan[^1]);
                    Assert.Equal(method, Frames.ReadMethod(written.WrittenSpan.Slice(FrameHead.Bytes, (int)head.Size), names));
                }
                var properties = RandomMethods.Properties(random);
                ContentProperties.Check(properties.Bytes.Span);
                var value = FieldValue.Of(random.NextInt64());
                var added = properties.WithHeader("x-added", value);
                ContentProperties.Check(added.Bytes.Span);
                Assert.Equal(value, added.Headers!.Value.Find("x-added"u8));
                foreach (var property in Enum.GetValues<BasicProperty>().Where(static property => property != BasicProperty.Headers))
                    Assert.Equal(Hex(properties.Find(property)), Hex(added.Find(property)));
            }
        }
        catch (Exception fault) when (fault is not OutOfMemoryException)
        {
            throw new InvalidOperationException(Seeds.Replay(seed, "Random_methods"), fault);
        }
    }

    [Fact]
    public void Hostile_bytes_are_refused_by_one_exception_and_take_no_memory() => Fuzz(rounds: 150_000);

    [Fact]
    [Trait("Category", "Long")]
    public void Hostile_bytes_are_refused_by_one_exception_and_take_no_memory_in_a_long_run() => Fuzz(rounds: 20_000_000);

    [Fact]
    public void Table_nested_too_deep_is_refused()
    {
        Assert.Null(FieldForm.FaultOfTable(Nested(FieldForm.MaxDepth).Bytes.Span));
        Assert.Equal("tables and arrays are nested deeper than 64", FieldForm.FaultOfTable(Nested(FieldForm.MaxDepth + 1).Bytes.Span));
    }

    [Fact]
    public void Pool_returns_the_name_of_the_bytes_however_many_there_are()
    {
        var names = new NamePool();
        for (var round = 0; round < 3; round++)
        {
            for (var i = 0; i < 1000; i++)
                Assert.Equal($"key-{i}", names.Get(System.Text.Encoding.ASCII.GetBytes($"key-{i}")));
        }
        Assert.Same(names.Get("orders"u8), names.Get("orders"u8));
        var longest = new string('x', 128);
        Assert.Equal(longest, names.Get(System.Text.Encoding.ASCII.GetBytes(longest)));
        Assert.Equal("ö", names.Get("ö"u8));
    }

    [Fact]
    public void Hot_paths_take_little_memory()
    {
        using var written = new PooledBuffer(1 << 16);
        var names = new NamePool();
        // One name, since the pool keeps one of two names that fall into the same slot.
        Frames.WriteMethod(written, 1, new BasicPublish("orders", "orders", true, false));
        var publish = written.WrittenSpan[FrameHead.Bytes..^1].ToArray();
        written.Clear();
        Frames.WriteMethod(written, 1, new BasicAck(77, false));
        var ack = written.WrittenSpan[FrameHead.Bytes..^1].ToArray();
        var properties = RandomMethods.Properties(new Random(3)).Bytes.ToArray();
        var body = new byte[100];

        // A boxed method: two references, two bits, and the box.
        Assert.InRange(Allocated(() => Frames.ReadMethod(publish, names)), 1, 48);
        Assert.InRange(Allocated(() => Frames.ReadMethod(ack, names)), 1, 32);
        Assert.Equal(0, Allocated(() => ContentProperties.Check(properties)));
        Assert.Equal(0, Allocated(() =>
        {
            written.Clear();
            Frames.WriteContent(written, 1, new BasicDeliver("tag", 7, false, "orders", "eu.created"), properties, body, 4096);
            Frames.WriteMethod(written, 1, new BasicAck(7, true));
        }));
    }

    private void Fuzz(int rounds)
    {
        var seed = Seeds.Next();
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        var frame = new byte[4096];
        var bases = Bases(random);
        var (read, refused) = (0, 0);
        for (var round = 0; round < rounds; round++)
        {
            var (kind, original) = bases[random.Next(bases.Count)];
            var length = Mutate(original, frame, random);
            bool isRead;
            try
            {
                var most = AllocatedBeside + (AllocatedPerByte * length);
                var allocated = Read(kind, frame.AsSpan(0, length), out isRead);
                // The runtime loads its own texts at a first fault. What a frame takes, it takes again.
                if (allocated > most)
                    allocated = Read(kind, frame.AsSpan(0, length), out isRead);
                Assert.True(allocated <= most, $"{allocated} bytes for {length}");
            }
            catch (Exception fault)
            {
                throw new InvalidOperationException(
                    $"{Seeds.Replay(seed, "Hostile_bytes")}, {Convert.ToHexString(frame.AsSpan(0, length))}", fault);
            }
            (read, refused) = isRead ? (read + 1, refused) : (read, refused + 1);
            if (kind == 1 && round % 16 == 0)
                ReadAll(frame.AsSpan(0, length).ToArray());
        }
        output.WriteLine($"{read} were read, {refused} refused");
        Assert.True(read > rounds / 20 && refused > rounds / 20, $"{read} were read, {refused} refused: the mutations are one-sided.");
    }

    // Returns what was allocated.
    private static long Read(int kind, ReadOnlySpan<byte> bytes, out bool isRead)
    {
        var before = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            if (kind == 0)
                Frames.ReadMethod(bytes);
            else
                ContentProperties.Check(bytes);
            isRead = true;
        }
        catch (AmqpException fault) when (fault.Code is ReplyCode.SyntaxError or ReplyCode.CommandInvalid)
        {
            isRead = false;
        }
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }

    // What the check accepts, the lazy readers read.
    private static void ReadAll(byte[] bytes)
    {
        try
        {
            ContentProperties.Check(bytes);
        }
        catch (AmqpException)
        {
            return;
        }
        var properties = new ContentProperties(bytes);
        var sum = 2;
        foreach (var property in Enum.GetValues<BasicProperty>())
            sum += properties.Find(property)?.Length ?? 0;
        Assert.Equal(bytes.Length, sum);
        if (properties.Headers is not { } headers)
            return;
        Walk(headers);
        Assert.Equal(headers, new FieldTable(headers.With("added", FieldValue.Void).Without("added"u8).Bytes));
    }

    private static void Walk(FieldTable table)
    {
        foreach (var entry in table.Entries())
            Walk(entry.Value);
    }

    private static void Walk(FieldValue value)
    {
        _ = (value.Integer, value.Boolean, value.Number, value.Decimal, value.Timestamp, value.Text, value.Bytes);
        if (value.Table is { } table)
            Walk(table);
        foreach (var inner in value.Values ?? [])
            Walk(inner);
    }

    private static List<(int Kind, byte[] Bytes)> Bases(Random random)
    {
        var bases = new List<(int, byte[])>();
        using var written = new PooledBuffer();
        for (var round = 0; round < 4; round++)
        {
            foreach (var id in MethodTable.All)
            {
                written.Clear();
                Frames.WriteMethod(written, 1, RandomMethods.Method(id, random));
                bases.Add((0, written.WrittenSpan[FrameHead.Bytes..^1].ToArray()));
            }
        }
        for (var round = 0; round < 200; round++)
            bases.Add((1, RandomMethods.Properties(random).Bytes.ToArray()));
        return bases.FindAll(static found => found.Item2.Length < 3000);
    }

    private static int Mutate(byte[] original, Span<byte> frame, Random random)
    {
        original.CopyTo(frame);
        var length = original.Length;
        for (var changes = random.Next(4); changes > 0 && length > 0; changes--)
        {
            var at = random.Next(length);
            switch (random.Next(5))
            {
                case 0: frame[at] ^= (byte)(1 << random.Next(8)); break;
                case 1: frame[at] = (byte)random.Next(256); break;
                case 2: frame[at] = 0xFF; break;
                case 3: length = at; break;
                default:
                    for (var more = random.Next(20); more > 0; more--)
                        frame[length++] = (byte)random.Next(256);
                    break;
            }
        }
        return length;
    }

    private static FieldTable Nested(int depth)
    {
        var table = FieldTable.Of();
        for (var level = 1; level < depth; level++)
            table = FieldTable.Of(("t", FieldValue.Of(table)));
        return table;
    }

    // The least of several measurements: the runtime itself allocates now and then.
    private static long Allocated(Action action)
    {
        var least = long.MaxValue;
        for (var round = 0; round < 20; round++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            action();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }
        return least;
    }

    private static string? Hex(ReadOnlyMemory<byte>? bytes) => bytes is { } some ? Convert.ToHexString(some.Span) : null;
}
