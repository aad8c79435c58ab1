using System.Runtime.InteropServices;
using OrleansMq.Records;

namespace OrleansMq.Compression;

/// <summary>
/// <c>LZ4F_preferences_t</c>: 56 bytes. Enums are C ints; the reserved words must be zero.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal struct Lz4Preferences
{
    /// <summary>The block size: 4 for 64 KiB, 5 for 256 KiB, 6 for 1 MiB, 7 for 4 MiB.</summary>
    public int BlockSizeId;
    /// <summary>0 if blocks refer to earlier ones; 1 if they are independent.</summary>
    public int BlockMode;
    public int ContentChecksum;
    public int FrameType;
    public ulong ContentSize;
    public uint DictionaryId;
    public int BlockChecksum;
    public int CompressionLevel;
    public uint AutoFlush;
    public uint FavorDecompressionSpeed;
    public uint Reserved0, Reserved1, Reserved2;
}

/// <summary>The functions of liblz4's frame API (<c>lz4frame.h</c>, stable since 1.8).</summary>
internal sealed unsafe class Lz4Native
{
    /// <summary><c>LZ4F_VERSION</c>.</summary>
    public const uint FrameVersion = 100;

    /// <summary><c>LZ4F_ERROR_allocation_failed</c>; a result is the negative of its error.</summary>
    public const int AllocationFailed = 9;

    private static readonly NativeCodecLibrary Library = new(CompressionType.Lz4,
        OperatingSystem.IsWindows() ? ["lz4.dll", "liblz4.dll"]
            : OperatingSystem.IsMacOS()
                ? ["liblz4.1.dylib", "liblz4.dylib", "/opt/homebrew/lib/liblz4.dylib", "/usr/local/lib/liblz4.dylib"]
            : ["liblz4.so.1", "liblz4.so"],
        "Install it (Debian: apt install liblz4-1; Alpine: apk add lz4-libs; macOS: brew install lz4), restart, or use another codec.");

    private static readonly Lazy<Lz4Native> Loaded = new(() => new Lz4Native(), LazyThreadSafetyMode.PublicationOnly);

    public readonly delegate* unmanaged[Cdecl]<nuint, Lz4Preferences*, nuint> CompressFrameBound;
    public readonly delegate* unmanaged[Cdecl]<byte*, nuint, byte*, nuint, Lz4Preferences*, nuint> CompressFrame;
    public readonly delegate* unmanaged[Cdecl]<nint*, uint, nuint> CreateDecompressionContext;
    public readonly delegate* unmanaged[Cdecl]<nint, nuint> FreeDecompressionContext;
    public readonly delegate* unmanaged[Cdecl]<nint, void> ResetDecompressionContext;
    public readonly delegate* unmanaged[Cdecl]<nint, byte*, nuint*, byte*, nuint*, void*, nuint> Decompress;
    public readonly delegate* unmanaged[Cdecl]<nuint, uint> IsError;
    private readonly delegate* unmanaged[Cdecl]<nuint, nint> _getErrorName;

    private Lz4Native()
    {
        CompressFrameBound = (delegate* unmanaged[Cdecl]<nuint, Lz4Preferences*, nuint>)Library.Function("LZ4F_compressFrameBound");
        CompressFrame =
            (delegate* unmanaged[Cdecl]<byte*, nuint, byte*, nuint, Lz4Preferences*, nuint>)Library.Function("LZ4F_compressFrame");
        CreateDecompressionContext = (delegate* unmanaged[Cdecl]<nint*, uint, nuint>)Library.Function("LZ4F_createDecompressionContext");
        FreeDecompressionContext = (delegate* unmanaged[Cdecl]<nint, nuint>)Library.Function("LZ4F_freeDecompressionContext");
        ResetDecompressionContext = (delegate* unmanaged[Cdecl]<nint, void>)Library.Function("LZ4F_resetDecompressionContext");
        Decompress = (delegate* unmanaged[Cdecl]<nint, byte*, nuint*, byte*, nuint*, void*, nuint>)Library.Function("LZ4F_decompress");
        IsError = (delegate* unmanaged[Cdecl]<nuint, uint>)Library.Function("LZ4F_isError");
        _getErrorName = (delegate* unmanaged[Cdecl]<nuint, nint>)Library.Function("LZ4F_getErrorName");
    }

    /// <exception cref="CodecUnavailableException">The library is not on this machine.</exception>
    public static Lz4Native Functions => Loaded.Value;

    /// <summary>Null if the library is there with every function; otherwise what is missing, and how to install it.</summary>
    public static string? Missing
    {
        get
        {
            try
            {
                _ = Functions;
                return null;
            }
            catch (CodecUnavailableException missing)
            {
                return missing.Message;
            }
        }
    }

    public static string ErrorName(nuint code) => Marshal.PtrToStringUTF8(Functions._getErrorName(code)) ?? "unknown";
}
