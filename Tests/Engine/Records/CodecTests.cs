using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Engine.Records;

public class CodecTests
{
    public static TheoryData<CompressionType> Compressing =>
        [CompressionType.Gzip, CompressionType.Snappy, CompressionType.Lz4, CompressionType.Zstd];

    [Theory]
    [MemberData(nameof(Compressing))]
    public void Codec_round_trips(CompressionType type)
    {
        var random = new Random(3);
        foreach (var length in new[] { 0, 1, 2, 3, 4, 15, 16, 59, 60, 61, 255, 256, 257, 4096, 65535, 65536, 65537, 131_072, 1_000_000 })
        {
            foreach (var source in Samples(random, length))
                AssertRoundTrip(type, source);
        }
    }

    [Theory]
    [MemberData(nameof(Compressing))]
    public void Decompression_appends_to_the_destination(CompressionType type)
    {
        var codec = StandardCodecs.All.Get(type);
        using var compressed = new PooledBuffer();
        compressed.Write("head"u8);
        codec.Compress("body body body body"u8, compressed);
        using var plain = new PooledBuffer();
        plain.Write("more "u8);
        codec.Decompress(compressed.WrittenSpan[4..], plain, 100);
        Assert.Equal("more body body body body", Encoding.ASCII.GetString(plain.WrittenSpan));
    }

    [Fact]
    public void Broken_lz4_frame_does_not_have_a_later_one_refused()
    {
        var codec = StandardCodecs.All.Get(CompressionType.Lz4);
        // A frame that names 100 bytes of content, and has three.
        byte[] frame = [0x04, 0x22, 0x4D, 0x18, 0x68, 0x40, 100, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0x80, 1, 2, 3, 0, 0, 0, 0];
        // Of all checksums of the header one is right.
        for (var checksum = 0; checksum < 256; checksum++)
        {
            frame[14] = (byte)checksum;
            Assert.Throws<RecordBatchException>(() => codec.Decompress(frame, new ArrayBufferWriter<byte>(), 1000));
        }
        AssertRoundTrip(CompressionType.Lz4, "sound"u8.ToArray());
    }

    [Theory]
    [MemberData(nameof(Compressing))]
    public void Decompression_bomb_is_refused_within_the_size_bound(CompressionType type)
    {
        var codec = StandardCodecs.All.Get(type);
        using var compressed = new PooledBuffer();
        codec.Compress(new byte[32 << 20], compressed);
        Assert.True(compressed.Length < 2 << 20);
        var destination = new ArrayBufferWriter<byte>();

        var exception = Assert.Throws<RecordBatchException>(() => codec.Decompress(compressed.WrittenSpan, destination, 1 << 20));

        Assert.Equal(RecordBatchError.TooLong, exception.Error);
        Assert.Contains("1048576", exception.Message);
        Assert.True(destination.Capacity <= 4 << 20, $"{destination.Capacity} bytes were taken");
    }

    [Theory]
    [InlineData(ZstdFrames.Window16MiB, 16 << 20, true)]
    [InlineData(ZstdFrames.Window128MiB, 128 << 20, true)]
    [InlineData(ZstdFrames.Window256MiB, 256 << 20, false)]
    [InlineData(byte.MaxValue, (8L + 7) << 38, false)]
    public void Zstd_window_is_bounded(byte descriptor, long window, bool isAllowed)
    {
        var codec = StandardCodecs.All.Get(CompressionType.Zstd);
        var frame = ZstdFrames.Unbounded("body"u8, descriptor);
        Assert.Equal(window, codec.WindowOf(frame));
        using var plain = new PooledBuffer();
        if (!isAllowed)
        {
            var fault = Assert.Throws<RecordBatchException>(() => codec.Decompress(frame, plain, 100));
            Assert.Equal(RecordBatchError.TooLong, fault.Error);
            Assert.Contains($"window of {window} bytes; the most is 134217728", fault.Message);
            return;
        }
        codec.Decompress(frame, plain, 100);
        Assert.Equal("body", Encoding.ASCII.GetString(plain.WrittenSpan));
    }

    [Fact]
    public void Zstd_window_of_a_later_frame_is_bounded_by_that_of_the_first()
    {
        var codec = StandardCodecs.All.Get(CompressionType.Zstd);
        using var plain = new PooledBuffer();
        var (small, large) = (ZstdFrames.Of("a"u8, ZstdFrames.Window16MiB), ZstdFrames.Of("b"u8, ZstdFrames.Window128MiB));
        codec.Decompress((byte[])[.. large, .. small, .. large], plain, 100);
        Assert.Equal("bab", Encoding.ASCII.GetString(plain.WrittenSpan));
        Assert.Throws<RecordBatchException>(() => codec.Decompress((byte[])[.. small, .. large], plain, 100));
    }

    [Fact]
    public void Zstd_frame_that_announces_more_than_it_holds_needs_no_window()
    {
        var codec = StandardCodecs.All.Get(CompressionType.Zstd);
        foreach (var length in (int[])[0, 1, 4, 200_000, 5_000_000])
        {
            using var plain = new PooledBuffer();
            var content = new byte[length];
            new Random(length).NextBytes(content);
            content.AsSpan(length / 2).Clear();
            var frame = Announcing128MiB(codec, content);
            Assert.InRange(codec.WindowOf(frame), length, length + (512 << 10));
            codec.Decompress(frame, plain, 16 << 20);
            Assert.Equal(content, plain.WrittenSpan);

            for (var cut = 1; cut < Math.Min(frame.Length, 30); cut++)
            {
                using var nothing = new PooledBuffer();
                Assert.Throws<RecordBatchException>(() => codec.Decompress(frame.AsSpan(..^cut), nothing, 16 << 20));
            }
        }
    }

    [Theory]
    [InlineData(0x25)]
    [InlineData(0x26)]
    [InlineData(0x27)]
    public void Zstd_frame_of_an_old_version_is_refused(byte version)
    {
        var codec = StandardCodecs.All.Get(CompressionType.Zstd);
        var frame = ZstdFrames.Of("a"u8, ZstdFrames.Window16MiB);
        var old = (byte[])[version, .. frame[1..]];
        foreach (var source in (byte[][])[old, [.. frame, .. old], [.. Skippable(0x50), .. old]])
        {
            using var plain = new PooledBuffer();
            var fault = Assert.Throws<RecordBatchException>(() => codec.Decompress(source, plain, 100));
            Assert.Equal(RecordBatchError.BadCompression, fault.Error);
            Assert.Contains($"begins with 0xFD2FB5{version:X2}", fault.Message);
        }
    }

    [Theory]
    [InlineData(0x50)]
    [InlineData(0x5F)]
    public void Zstd_skippable_frames_are_skipped(byte magic)
    {
        using var plain = new PooledBuffer();
        var frame = ZstdFrames.Of("body"u8, ZstdFrames.Window16MiB);
        StandardCodecs.All.Get(CompressionType.Zstd).Decompress(
            (byte[])[.. Skippable(magic), .. frame, .. Skippable(magic), .. frame], plain, 100);
        Assert.Equal("bodybody", Encoding.ASCII.GetString(plain.WrittenSpan));
    }

    [Fact]
    public void Content_far_below_its_bound_takes_no_more_memory_than_its_length()
    {
        var codec = StandardCodecs.All.Get(CompressionType.Zstd);
        // A compressed block of 5 bytes: three literals, no sequences.
        var block = (byte[])[5 << 3 | 2 << 1, 0, 0, 3 << 3, (byte)'a', (byte)'b', (byte)'c', 0];
        var frame = new List<byte> { 0x28, 0xB5, 0x2F, 0xFD, 0, ZstdFrames.Window128MiB };
        for (var number = 0; number < 100; number++)
            frame.AddRange(block);
        frame.AddRange([1, 0, 0]);
        var destination = new ArrayBufferWriter<byte>();
        Assert.Equal(100 * (128 << 10), codec.WindowOf(frame.ToArray()));
        codec.Decompress(frame.ToArray(), destination, 16 << 20);
        Assert.Equal(300, destination.WrittenCount);
        Assert.True(destination.Capacity <= 4096, $"{destination.Capacity} bytes were taken");
    }

    // The library's own frame, with a header that names a window of 128 MiB in the place of a single segment's size or a smaller window.
    private static byte[] Announcing128MiB(ICompressionCodec codec, byte[] content)
    {
        using var compressed = new PooledBuffer();
        codec.Compress(content, compressed);
        var frame = compressed.WrittenSpan;
        var isSingle = (frame[4] & 0x20) != 0;
        var sizes = (frame[4] >> 6) switch { 0 => isSingle ? 1 : 0, 1 => 2, 2 => 4, _ => 8 };
        return [.. frame[..4], (byte)(frame[4] & 0x1F), ZstdFrames.Window128MiB, .. frame[(5 + (isSingle ? 0 : 1) + sizes)..]];
    }

    [Fact]
    public void Zstd_window_is_read_from_every_form_of_header()
    {
        var codec = StandardCodecs.All.Get(CompressionType.Zstd);
        foreach (var length in (int[])[0, 10, 255, 256, 300, 65_000, 70_000, 3_000_000])
        {
            using var compressed = new PooledBuffer();
            var content = new byte[length];
            new Random(length).NextBytes(content);
            codec.Compress(content, compressed);
            // The library rounds no window down, and none of its own is below the content or 2 MiB, whichever is less.
            Assert.InRange(codec.WindowOf(compressed.WrittenSpan), Math.Min(length, 2 << 20), 8 << 20);
        }
        Assert.Equal(0, codec.WindowOf([]));
        Assert.Equal(0, codec.WindowOf("not a frame"u8));
    }

    [Theory]
    [MemberData(nameof(Compressing))]
    public void Output_of_exactly_the_size_bound_is_allowed(CompressionType type)
    {
        var codec = StandardCodecs.All.Get(type);
        using var compressed = new PooledBuffer();
        codec.Compress(new byte[100_000], compressed);
        using var plain = new PooledBuffer();
        codec.Decompress(compressed.WrittenSpan, plain, 100_000);
        Assert.Equal(100_000, plain.Length);
        plain.Clear();
        Assert.Throws<RecordBatchException>(() => codec.Decompress(compressed.WrittenSpan, plain, 99_999));
    }

    [Theory]
    [MemberData(nameof(Compressing))]
    public void Truncated_input_is_detected(CompressionType type)
    {
        var codec = StandardCodecs.All.Get(type);
        var source = Samples(new Random(4), 3000).First();
        using var compressed = new PooledBuffer();
        codec.Compress(source, compressed);
        for (var length = 0; length < compressed.Length; length++)
        {
            // Snappy framing has no end marker: a cut between two blocks, or after its header, is a shorter stream.
            if (type == CompressionType.Snappy && length == 16)
                continue;
            using var plain = new PooledBuffer();
            var cut = compressed.WrittenMemory[..length];
            var exception = Xunit.Record.Exception(() => codec.Decompress(cut.Span, plain, 1 << 20)) as RecordBatchException;
            Assert.True(exception is not null, $"{length} of {compressed.Length} bytes");
            Assert.Equal(RecordBatchError.BadCompression, exception.Error);
        }
    }

    [Fact]
    public void Lack_of_memory_is_no_fault_of_the_bytes()
    {
        var zstd = Result(ZstdNative.MemoryAllocation);
        Assert.Contains("not enough memory", ZstdNative.ErrorName(zstd), StringComparison.Ordinal);
        Assert.Equal(RecordBatchError.Busy, ZstdCodec.Failed(zstd).Error);
        var lz4 = Result(Lz4Native.AllocationFailed);
        Assert.Contains("allocation_failed", Lz4Native.ErrorName(lz4), StringComparison.Ordinal);
        Assert.Equal(RecordBatchError.Busy, Lz4Codec.Failed(lz4).Error);
        // Others may read what demands more than a broker gives.
        Assert.Equal(RecordBatchError.TooLong, ZstdCodec.Failed(Result(ZstdNative.WindowTooLarge)).Error);
        Assert.Equal(RecordBatchError.BadCompression, ZstdCodec.Failed(Result(1)).Error);
        Assert.Equal(RecordBatchError.BadCompression, Lz4Codec.Failed(Result(1)).Error);

        static nuint Result(int error) => unchecked((nuint)(-error));
    }

    [Theory]
    [MemberData(nameof(Compressing))]
    public void Changed_bytes_cause_at_most_a_named_error(CompressionType type)
    {
        var seed = Seeds.Next();
        var random = new Random(seed);
        var codec = StandardCodecs.All.Get(type);
        using var compressed = new PooledBuffer();
        codec.Compress(Samples(random, 2000)[1], compressed);
        var original = compressed.WrittenSpan.ToArray();
        for (var round = 0; round < 2000; round++)
        {
            var bytes = (byte[])original.Clone();
            for (var flips = random.Next(1, 6); flips > 0; flips--)
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            AssertNoCrash(codec, bytes, seed);
        }
    }

    [Theory]
    [MemberData(nameof(Compressing))]
    public void Garbage_causes_at_most_a_named_error(CompressionType type)
    {
        var seed = Seeds.Next();
        var random = new Random(seed);
        var codec = StandardCodecs.All.Get(type);
        for (var round = 0; round < 2000; round++)
        {
            var bytes = new byte[random.Next(200)];
            random.NextBytes(bytes);
            AssertNoCrash(codec, bytes, seed);
        }
    }

    [Fact]
    public void Snappy_reads_a_raw_block()
    {
        // 11 bytes: the literal "ab", then a copy of 9 bytes from 2 back.
        byte[] block = [11, (2 - 1) << 2, (byte)'a', (byte)'b', ((9 - 4) << 2) | 1, 2];
        using var plain = new PooledBuffer();
        StandardCodecs.All.Get(CompressionType.Snappy).Decompress(block, plain, 11);
        Assert.Equal("abababababa", Encoding.ASCII.GetString(plain.WrittenSpan));
    }

    [Fact]
    public void Snappy_writes_the_framing_of_the_Java_library()
    {
        using var compressed = new PooledBuffer();
        StandardCodecs.All.Get(CompressionType.Snappy).Compress("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"u8, compressed);
        Assert.Equal("82534E4150505900" + "00000001" + "00000001", Convert.ToHexString(compressed.WrittenSpan[..16]));
        Assert.Equal(compressed.Length - 20, BinaryPrimitives.ReadInt32BigEndian(compressed.WrittenSpan[16..]));
    }

    [Fact]
    public void Snappy_refuses_a_length_that_its_bytes_cannot_hold()
    {
        // A block of a few bytes that claims 2 GiB - 1 is refused before memory is allocated.
        byte[] block = [0xFF, 0xFF, 0xFF, 0xFF, 0x07, 0, 1];
        var destination = new ArrayBufferWriter<byte>();
        Assert.Throws<RecordBatchException>(() =>
            StandardCodecs.All.Get(CompressionType.Snappy).Decompress(block, destination, int.MaxValue));
        Assert.True(destination.Capacity < 4096);
    }

    [Fact]
    public void Lz4_blocks_are_independent_and_64_KiB()
    {
        using var compressed = new PooledBuffer();
        StandardCodecs.All.Get(CompressionType.Lz4).Compress(new byte[100], compressed);
        // Magic, then FLG: version 01, independent blocks, no checksums, no content size; BD: 64 KiB.
        Assert.Equal("04224D18" + "60" + "40", Convert.ToHexString(compressed.WrittenSpan[..6]));
    }

    [Fact]
    public void Missing_codec_is_named()
    {
        var exception = Assert.Throws<CodecUnavailableException>(() => CompressionCodecs.Empty.Get(CompressionType.Zstd));
        Assert.Equal(CompressionType.Zstd, exception.Type);
        var library = new NativeCodecLibrary(CompressionType.Zstd, ["libomq-missing.so.1"], "Install it.");
        exception = Assert.Throws<CodecUnavailableException>(() => library.Function("any"));
        Assert.Contains("libomq-missing.so.1", exception.Message);
        Assert.Contains("Install it.", exception.Message);
    }

    private static void AssertRoundTrip(CompressionType type, byte[] source)
    {
        var codec = StandardCodecs.All.Get(type);
        using var compressed = new PooledBuffer();
        codec.Compress(source, compressed);
        using var plain = new PooledBuffer();
        codec.Decompress(compressed.WrittenSpan, plain, source.Length);
        Assert.True(plain.WrittenSpan.SequenceEqual(source), $"{type} of {source.Length} bytes");
    }

    private static void AssertNoCrash(ICompressionCodec codec, byte[] bytes, int seed)
    {
        using var plain = new PooledBuffer();
        try
        {
            codec.Decompress(bytes, plain, 1 << 20);
        }
        catch (RecordBatchException exception)
        {
            Assert.True(exception.Error is RecordBatchError.BadCompression or RecordBatchError.TooLong, Seeds.Replay(seed));
        }
        Assert.True(plain.Length <= (1 << 20) + 1, Seeds.Replay(seed));
    }

    private static byte[] Skippable(byte magic) => [magic, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3];

    private static byte[][] Samples(Random random, int length)
    {
        var noise = new byte[length];
        random.NextBytes(noise);
        var text = new byte[length];
        for (var i = 0; i < length; i++)
            text[i] = (byte)"the quick brown fox jumps over it "[random.Next(8) == 0 ? random.Next(34) : i % 34];
        return [noise, text, new byte[length]];
    }
}
