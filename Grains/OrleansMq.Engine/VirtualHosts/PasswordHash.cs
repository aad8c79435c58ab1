using System.Security.Cryptography;
using System.Text;

namespace OrleansMq.VirtualHosts;

/// <summary>Passwords as RabbitMQ stores them: base64 of four random bytes, and of the hash of those bytes and the password.</summary>
internal static class PasswordHash
{
    /// <summary>The algorithm of new passwords.</summary>
    public const string Sha256 = "rabbit_password_hashing_sha256";

    /// <summary>The other algorithm that is accepted, for definitions that have it.</summary>
    public const string Sha512 = "rabbit_password_hashing_sha512";

    private const int SaltBytes = 4;

    /// <summary>Hashes a password with <see cref="Sha256"/>.</summary>
    /// <param name="password">The password.</param>
    /// <param name="salt">Four random bytes.</param>
    public static string Create(string password, ReadOnlySpan<byte> salt)
    {
        if (salt.Length != SaltBytes)
            throw new ArgumentException($"The salt has {SaltBytes} bytes, not {salt.Length}.", nameof(salt));
        return Convert.ToBase64String([.. salt, .. SHA256.HashData(Salted(salt, password))]);
    }

    /// <summary>Returns what is wrong with a stored hash; null if nothing is. An empty one is no password: nobody logs in with
    /// it.</summary>
    public static string? FaultOf(string hash, string algorithm)
    {
        if (algorithm is not (Sha256 or Sha512))
            return $"hashing_algorithm must be {Sha256} or {Sha512}, not '{algorithm}'";
        var length = SaltBytes + (algorithm == Sha512 ? SHA512.HashSizeInBytes : SHA256.HashSizeInBytes);
        var bytes = new byte[length + 3];
        return hash.Length == 0 || Convert.TryFromBase64String(hash, bytes, out var written) && written == length ? null
            : $"password_hash must be the base64 of {length} bytes";
    }

    /// <summary>Whether a password is the one of a hash.</summary>
    public static bool Verify(string hash, string algorithm, string password)
    {
        // Without a password nobody logs in, whatever is stored.
        if (hash.Length == 0 || password.Length == 0 || FaultOf(hash, algorithm) is not null)
            return false;
        var stored = Convert.FromBase64String(hash);
        var salted = Salted(stored.AsSpan(0, SaltBytes), password);
        return CryptographicOperations.FixedTimeEquals(stored.AsSpan(SaltBytes),
            algorithm == Sha512 ? SHA512.HashData(salted) : SHA256.HashData(salted));
    }

    private static byte[] Salted(ReadOnlySpan<byte> salt, string password) => [.. salt, .. Encoding.UTF8.GetBytes(password)];
}
