using System.Security.Cryptography;
using System.Text;

namespace OrleansMq.Consumers;

/// <summary>Ids that are made from names, the same in every process.</summary>
internal static class Hashes
{
    /// <summary>Returns an id of a name.</summary>
    public static Guid Of(string name) => Of(Encoding.UTF8.GetBytes(name));

    /// <summary>Returns an id of bytes.</summary>
    public static Guid Of(ReadOnlySpan<byte> bytes)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(bytes, hash);
        return new Guid(hash[..16]);
    }
}
