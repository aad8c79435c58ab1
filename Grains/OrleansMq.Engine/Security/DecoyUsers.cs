using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace OrleansMq.Security;

/// <summary>
/// Chooses the users whose credentials those of users that do not exist look like. Every broker chooses the same. A user that is created or
/// deleted changes the choice for a few names alone, as a user's own credentials change now and then. Immutable.
/// </summary>
internal sealed class DecoyUsers
{
    // Users on the ring that are looked at for a credential of the mechanism.
    private const int MaxSteps = 4;

    private readonly byte[] _secret;
    private readonly ulong[] _positions;
    private readonly string[] _users;

    /// <param name="secret">A secret of the cluster: without it no client can tell the choice.</param>
    /// <param name="users">The users.</param>
    public DecoyUsers(ReadOnlySpan<byte> secret, IEnumerable<string> users)
    {
        _secret = secret.ToArray();
        _users = [.. users];
        _positions = Array.ConvertAll(_users, PositionOf);
        Array.Sort(_positions, _users);
    }

    /// <summary>The users that a name looks like, the first one first; none where there are no users.</summary>
    public IEnumerable<string> Like(string name)
    {
        var at = Array.BinarySearch(_positions, PositionOf(name));
        for (var step = 0; step < Math.Min(MaxSteps, _users.Length); step++)
            yield return _users[((at < 0 ? ~at : at) + step) % _users.Length];
    }

    /// <summary>The credential of a name that has none. No proof fits it.</summary>
    /// <param name="name">The name.</param>
    /// <param name="mechanism">The mechanism.</param>
    /// <param name="like">The credential that it looks like; null: one with the defaults.</param>
    public ScramCredential Credential(string name, ScramMechanism mechanism, ScramCredential? like) => new()
    {
        Mechanism = mechanism,
        Salt = SaltOf(name, mechanism, like?.Salt.Length ?? ScramCredential.SaltBytes),
        Iterations = like?.Iterations ?? ScramCredential.MinIterations,
        StoredKey = RandomNumberGenerator.GetBytes(mechanism.HashBytes()),
        ServerKey = RandomNumberGenerator.GetBytes(mechanism.HashBytes()),
    };

    // The same whenever it is asked for. A zero is in no name.
    private byte[] SaltOf(string name, ScramMechanism mechanism, int length)
    {
        var salt = new byte[length];
        for (var (at, block) = (0, 0); at < length; block++)
        {
            var bytes = mechanism.Hmac(_secret, Encoding.UTF8.GetBytes(block == 0 ? name : $"{name}\0{block}"));
            var taken = Math.Min(bytes.Length, length - at);
            bytes.AsSpan(..taken).CopyTo(salt.AsSpan(at));
            at += taken;
        }
        return salt;
    }

    // Of another message than the salt, which clients see.
    private ulong PositionOf(string name) =>
        BinaryPrimitives.ReadUInt64BigEndian(HMACSHA256.HashData(_secret, Encoding.UTF8.GetBytes("\0" + name)));
}
