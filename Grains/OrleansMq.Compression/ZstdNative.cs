using System.Runtime.InteropServices;
using OrleansMq.Records;

namespace OrleansMq.Compression;

/// <summary><c>ZSTD_inBuffer</c> and <c>ZSTD_outBuffer</c>: a pointer and two sizes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct ZstdBuffer
{
    public byte* Bytes;
    public nuint Size;
    /// <summary>The number of bytes read or written so far.</summary>
    public nuint Position;
}

/// <summary>The functions of libzstd (<c>zstd.h</c>, stable since 1.4).</summary>
internal sealed unsafe class ZstdNative
{
    /// <summary><c>ZSTD_reset_session_only</c>: drops the current frame, keeps memory and parameters.</summary>
    public const int ResetSession = 1;

    /// <summary><c>ZSTD_d_windowLogMax</c>: frames that demand a larger window are refused.</summary>
    public const int WindowLogMax = 100;

    /// <summary><c>ZSTD_error_frameParameter_windowTooLarge</c>; a result is the negative of its error.</summary>
    public const int WindowTooLarge = 16;

    /// <summary><c>ZSTD_error_memory_allocation</c>.</summary>
    public const int MemoryAllocation = 64;

    private static readonly NativeCodecLibrary Library = new(CompressionType.Zstd,
        OperatingSystem.IsWindows() ? ["zstd.dll", "libzstd.dll"]
            : OperatingSystem.IsMacOS()
                ? ["libzstd.1.dylib", "libzstd.dylib", "/opt/homebrew/lib/libzstd.dylib", "/usr/local/lib/libzstd.dylib"]
            : ["libzstd.so.1", "libzstd.so"],
        "Install it (Debian: apt install libzstd1; Alpine: apk add zstd-libs; macOS: brew install zstd), restart, or use another codec.");

    private static readonly Lazy<ZstdNative> Loaded = new(() => new ZstdNative(), LazyThreadSafetyMode.PublicationOnly);

    public readonly delegate* unmanaged[Cdecl]<nuint, nuint> CompressBound;
    public readonly delegate* unmanaged[Cdecl]<nint> CreateCCtx;
    public readonly delegate* unmanaged[Cdecl]<nint, nuint> FreeCCtx;
    public readonly delegate* unmanaged[Cdecl]<nint, byte*, nuint, byte*, nuint, int, nuint> CompressCCtx;
    public readonly delegate* unmanaged[Cdecl]<nint> CreateDCtx;
    public readonly delegate* unmanaged[Cdecl]<nint, nuint> FreeDCtx;
    public readonly delegate* unmanaged[Cdecl]<nint, byte*, nuint, byte*, nuint, nuint> DecompressDCtx;
    public readonly delegate* unmanaged[Cdecl]<nint, int, nuint> ResetDCtx;
    public readonly delegate* unmanaged[Cdecl]<nint, int, int, nuint> SetParameterDCtx;
    public readonly delegate* unmanaged[Cdecl]<nint, nuint> SizeOfDCtx;
    public readonly delegate* unmanaged[Cdecl]<nint, ZstdBuffer*, ZstdBuffer*, nuint> DecompressStream;
    public readonly delegate* unmanaged[Cdecl]<nuint, uint> IsError;
    private readonly delegate* unmanaged[Cdecl]<nuint, nint> _getErrorName;

    private ZstdNative()
    {
        CompressBound = (delegate* unmanaged[Cdecl]<nuint, nuint>)Library.Function("ZSTD_compressBound");
        CreateCCtx = (delegate* unmanaged[Cdecl]<nint>)Library.Function("ZSTD_createCCtx");
        FreeCCtx = (delegate* unmanaged[Cdecl]<nint, nuint>)Library.Function("ZSTD_freeCCtx");
        CompressCCtx = (delegate* unmanaged[Cdecl]<nint, byte*, nuint, byte*, nuint, int, nuint>)Library.Function("ZSTD_compressCCtx");
        CreateDCtx = (delegate* unmanaged[Cdecl]<nint>)Library.Function("ZSTD_createDCtx");
        FreeDCtx = (delegate* unmanaged[Cdecl]<nint, nuint>)Library.Function("ZSTD_freeDCtx");
        DecompressDCtx = (delegate* unmanaged[Cdecl]<nint, byte*, nuint, byte*, nuint, nuint>)Library.Function("ZSTD_decompressDCtx");
        ResetDCtx = (delegate* unmanaged[Cdecl]<nint, int, nuint>)Library.Function("ZSTD_DCtx_reset");
        SetParameterDCtx = (delegate* unmanaged[Cdecl]<nint, int, int, nuint>)Library.Function("ZSTD_DCtx_setParameter");
        SizeOfDCtx = (delegate* unmanaged[Cdecl]<nint, nuint>)Library.Function("ZSTD_sizeof_DCtx");
        DecompressStream = (delegate* unmanaged[Cdecl]<nint, ZstdBuffer*, ZstdBuffer*, nuint>)Library.Function("ZSTD_decompressStream");
        IsError = (delegate* unmanaged[Cdecl]<nuint, uint>)Library.Function("ZSTD_isError");
        _getErrorName = (delegate* unmanaged[Cdecl]<nuint, nint>)Library.Function("ZSTD_getErrorName");
    }

    /// <exception cref="CodecUnavailableException">The library is not on this machine.</exception>
    public static ZstdNative Functions => Loaded.Value;

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
