using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Arm = System.Runtime.Intrinsics.Arm;
using X86 = System.Runtime.Intrinsics.X86;

namespace OrleansMq.Records;

/// <summary>
/// CRC-32C (Castagnoli, polynomial 0x1EDC6F41, reflected), the checksum of record batches and snapshots. Uses the processor's instruction
/// (SSE4.2, ARMv8 CRC) over three interleaved streams if available, and tables otherwise.
/// </summary>
/// <remarks>
/// The instruction has a latency of three cycles, but one can start each cycle, so three independent streams run at the full rate. Their
/// results are combined by carry-less multiplication: appending n zero bytes multiplies the register by x^(8n) modulo the polynomial.
/// </remarks>
internal static class Crc32C
{
    private const uint ReflectedPolynomial = 0x82F63B78;

    // Long streams pay for the combination (about 20 cycles) once per 12 KiB; short ones let batches of 1 KB profit too. Multiples of 8.
    private const int LongStream = 4096;
    private const int ShortStream = 336;

    private static readonly uint[] Table = BuildTable();
    private static readonly uint LongOnce = PowerOfX(8 * LongStream - 33);
    private static readonly uint LongTwice = PowerOfX(16 * LongStream - 33);
    private static readonly uint ShortOnce = PowerOfX(8 * ShortStream - 33);
    private static readonly uint ShortTwice = PowerOfX(16 * ShortStream - 33);

    /// <summary>Whether the processor has an instruction for the checksum.</summary>
    internal static bool IsHardwareAccelerated => X86.Sse42.X64.IsSupported || Arm.Crc32.Arm64.IsSupported;

    private static bool CanJoinStreams =>
        (X86.Sse42.X64.IsSupported && X86.Pclmulqdq.IsSupported) || (Arm.Crc32.Arm64.IsSupported && Arm.Aes.IsSupported);

    /// <summary>Computes the checksum of <paramref name="bytes"/>.</summary>
    public static uint Compute(ReadOnlySpan<byte> bytes) => Append(0, bytes);

    /// <summary>Continues a checksum: <c>Append(Compute(a), b)</c> is the checksum of a followed by b.</summary>
    /// <param name="crc">The checksum so far; 0 for none.</param>
    /// <param name="bytes">The bytes that follow.</param>
    public static uint Append(uint crc, ReadOnlySpan<byte> bytes) =>
        IsHardwareAccelerated ? ~HardwareUpdate(~crc, bytes) : ~SoftwareUpdate(~crc, bytes);

    /// <summary>Does the same with tables only, for comparison in tests.</summary>
    internal static uint AppendSoftware(uint crc, ReadOnlySpan<byte> bytes) => ~SoftwareUpdate(~crc, bytes);

    private static uint HardwareUpdate(uint register, ReadOnlySpan<byte> bytes)
    {
        if (CanJoinStreams)
        {
            while (bytes.Length >= 3 * LongStream)
            {
                register = ThreeStreams(register, bytes, LongStream, LongOnce, LongTwice);
                bytes = bytes[(3 * LongStream)..];
            }
            while (bytes.Length >= 3 * ShortStream)
            {
                register = ThreeStreams(register, bytes, ShortStream, ShortOnce, ShortTwice);
                bytes = bytes[(3 * ShortStream)..];
            }
        }
        while (bytes.Length >= 8)
        {
            register = Step(register, BinaryPrimitives.ReadUInt64LittleEndian(bytes));
            bytes = bytes[8..];
        }
        foreach (var b in bytes)
            register = StepByte(register, b);
        return register;
    }

    private static uint ThreeStreams(uint register, ReadOnlySpan<byte> bytes, int stream, uint once, uint twice)
    {
        var first = MemoryMarshal.Cast<byte, ulong>(bytes[..stream]);
        var second = MemoryMarshal.Cast<byte, ulong>(bytes.Slice(stream, stream));
        var third = MemoryMarshal.Cast<byte, ulong>(bytes.Slice(2 * stream, stream));
        uint a = register, b = 0, c = 0;
        for (var i = 0; i < first.Length && i < second.Length && i < third.Length; i++)
        {
            a = Step(a, first[i]);
            b = Step(b, second[i]);
            c = Step(c, third[i]);
        }
        return Multiply(a, twice) ^ Multiply(b, once) ^ c;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Step(uint register, ulong word) =>
        X86.Sse42.X64.IsSupported ? (uint)X86.Sse42.X64.Crc32(register, word) : Arm.Crc32.Arm64.ComputeCrc32C(register, word);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint StepByte(uint register, byte value) =>
        X86.Sse42.IsSupported ? X86.Sse42.Crc32(register, value) : Arm.Crc32.ComputeCrc32C(register, value);

    // In reflected bit order the 64-bit product of two 32-bit residues is one bit too low, and one step over a word multiplies by x^32.
    // Together that is x^33, which the constants compensate.
    private static uint Multiply(uint register, uint constant)
    {
        ulong left = register, right = constant;
        var product = X86.Pclmulqdq.IsSupported
            ? X86.Pclmulqdq.CarrylessMultiply(Vector128.CreateScalar(left), Vector128.CreateScalar(right), 0).ToScalar()
            : Arm.Aes.PolynomialMultiplyWideningLower(Vector64.CreateScalar(left), Vector64.CreateScalar(right)).ToScalar();
        return Step(0, product);
    }

    private static uint SoftwareUpdate(uint register, ReadOnlySpan<byte> bytes)
    {
        var table = Table;
        while (bytes.Length >= 8)
        {
            var low = BinaryPrimitives.ReadUInt32LittleEndian(bytes) ^ register;
            var high = BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]);
            register = table[0x700 + (low & 0xFF)] ^ table[0x600 + ((low >> 8) & 0xFF)]
                ^ table[0x500 + ((low >> 16) & 0xFF)] ^ table[0x400 + (low >> 24)]
                ^ table[0x300 + (high & 0xFF)] ^ table[0x200 + ((high >> 8) & 0xFF)]
                ^ table[0x100 + ((high >> 16) & 0xFF)] ^ table[high >> 24];
            bytes = bytes[8..];
        }
        foreach (var b in bytes)
            register = table[(register ^ b) & 0xFF] ^ (register >> 8);
        return register;
    }

    // Row k holds the contribution of a byte when k more bytes follow it in the same step of eight.
    private static uint[] BuildTable()
    {
        var table = new uint[8 * 256];
        for (uint i = 0; i < 256; i++)
        {
            var value = i;
            for (var bit = 0; bit < 8; bit++)
                value = TimesX(value);
            table[i] = value;
        }
        for (var i = 256; i < table.Length; i++)
            table[i] = (table[i - 256] >> 8) ^ table[table[i - 256] & 0xFF];
        return table;
    }

    private static uint PowerOfX(int exponent)
    {
        var power = 0x8000_0000u; // x^0 in reflected order
        for (var i = 0; i < exponent; i++)
            power = TimesX(power);
        return power;
    }

    private static uint TimesX(uint value) => (value & 1) != 0 ? (value >> 1) ^ ReflectedPolynomial : value >> 1;
}
