using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text.Json.Serialization;
using OrleansMq.State;

namespace OrleansMq.VirtualHosts;

/// <summary>The document that lists virtual hosts and users, <c>vhost-index/all</c>. Where it is missing, the installation is
/// new.</summary>
internal sealed record VirtualHostIndex
{
    /// <summary>Its key.</summary>
    public const string Key = "vhost-index/all";

    /// <summary>The names of the virtual hosts.</summary>
    public ImmutableArray<string> Hosts { get; init; } = [];

    /// <summary>The names of the users.</summary>
    public ImmutableArray<string> Users { get; init; } = [];

    /// <summary>The highest epoch of a virtual host that was deleted. A new one begins above it, so that the versions of images rise, and
    /// owners of a deleted one own nothing of a new one with the same name.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public int DeletedEpoch { get; init; }
}

/// <summary>
/// The list of virtual hosts, and the users. Not thread safe: its owner serializes the calls.
/// <para>
/// <b>State.</b> The documents <c>vhost-index/all</c> and <c>amqp-user/name</c>. A user or virtual host exists if the index lists it and
/// its document is stored. A creation writes the document first, a deletion removes it first: what a crash between the two writes leaves
/// does not exist, and is overwritten by the next creation of the name. An installation without an index is new, and gets the virtual host
/// <c>/</c> and the user guest; once deleted, they stay deleted.
/// </para>
/// <para>
/// <b>Failures.</b> After a write that failed, all is read again by the next call.
/// </para>
/// </summary>
internal sealed class VirtualHostCatalogue
{
    /// <summary>The virtual host that exists from the start.</summary>
    public const string DefaultHost = "/";

    private const string Administrator = "administrator";
    private const int SaltBytes = 4;

    private readonly IStateStore _store;
    private readonly StoredDocument<VirtualHostIndex> _index;
    private readonly Dictionary<string, StoredDocument<UserState>> _documents = new(StringComparer.Ordinal);
    private UserDirectory _users = UserDirectory.Empty;
    private ImmutableArray<string> _hosts = [];
    private bool _isKnown;

    private VirtualHostCatalogue(IStateStore store)
    {
        _store = store;
        _index = new StoredDocument<VirtualHostIndex>(store, VirtualHostIndex.Key, VirtualHostJson.Default.VirtualHostIndex);
    }

    /// <summary>The users.</summary>
    public UserDirectory Users => Volatile.Read(ref _users);

    /// <summary>The names of the virtual hosts.</summary>
    public ImmutableArray<string> Hosts => _hosts;

    /// <summary>Reads the catalogue, and completes a new installation.</summary>
    /// <exception cref="CorruptStateException">A document is damaged.</exception>
    public static async Task<VirtualHostCatalogue> OpenAsync(IStateStore store)
    {
        var catalogue = new VirtualHostCatalogue(store);
        await catalogue.ReadAsync().ConfigureAwait(false);
        return catalogue;
    }

    /// <summary>Reads what is stored, if that is unknown.</summary>
    public async Task ReadAsync()
    {
        if (_isKnown)
            return;
        var index = await _index.ReadAsync().ConfigureAwait(false) ?? await InstallAsync().ConfigureAwait(false);
        var users = await Task.WhenAll(index.Users.Select(name => DocumentOf(name).ReadAsync().AsTask())).ConfigureAwait(false);
        Volatile.Write(ref _users, new UserDirectory(UserDirectory.Empty.ByName.SetItems(
            users.OfType<UserState>().Select(user => KeyValuePair.Create(user.Name, user)))));
        _hosts = index.Hosts;
        _isKnown = true;
    }

    /// <summary>Adds or changes a user.</summary>
    public Task PutAsync(UserState user) => ChangeAsync(async index =>
    {
        await DocumentOf(user.Name).WriteAsync(user).ConfigureAwait(false);
        if (!index.Users.Contains(user.Name))
            await _index.WriteAsync(index with { Users = Sorted(index.Users, user.Name) }).ConfigureAwait(false);
        Volatile.Write(ref _users, new UserDirectory(Users.ByName.SetItem(user.Name, user)));
    });

    /// <summary>Deletes a user.</summary>
    public Task DeleteUserAsync(string name) => ChangeAsync(async index =>
    {
        await DocumentOf(name).DeleteAsync().ConfigureAwait(false);
        _documents.Remove(name);
        await _index.WriteAsync(index with { Users = index.Users.Remove(name) }).ConfigureAwait(false);
        Volatile.Write(ref _users, new UserDirectory(Users.ByName.Remove(name)));
    });

    /// <summary>Adds a virtual host.</summary>
    public Task AddAsync(VirtualHostSettings settings) => ChangeAsync(async index =>
    {
        await CreateAsync(settings with { Epoch = index.DeletedEpoch }).ConfigureAwait(false);
        await _index.WriteAsync(index with { Hosts = Sorted(index.Hosts, settings.Name) }).ConfigureAwait(false);
        _hosts = Sorted(_hosts, settings.Name);
    });

    /// <summary>Removes a virtual host whose documents are deleted.</summary>
    /// <param name="name">The virtual host.</param>
    /// <param name="epoch">The epoch of its last owner; 0 if that is unknown.</param>
    public Task RemoveAsync(string name, int epoch) => ChangeAsync(async index =>
    {
        await _index.WriteAsync(index with
        {
            Hosts = index.Hosts.Remove(name),
            DeletedEpoch = Math.Max(index.DeletedEpoch, epoch),
        }).ConfigureAwait(false);
        _hosts = _hosts.Remove(name);
    });

    private async Task ChangeAsync(Func<VirtualHostIndex, Task> change)
    {
        await ReadAsync().ConfigureAwait(false);
        _isKnown = false;
        await change((await _index.ReadAsync().ConfigureAwait(false))!).ConfigureAwait(false);
        _isKnown = true;
    }

    // A crash before the index is written leaves documents that the next start uses.
    private async Task<VirtualHostIndex> InstallAsync()
    {
        var document = DocumentOf(UserState.Guest);
        var guest = await document.ReadAsync().ConfigureAwait(false);
        if (guest is null)
        {
            guest = new UserState
            {
                Name = UserState.Guest,
                Id = VirtualHostOwner.NewId(),
                PasswordHash = PasswordHash.Create(UserState.Guest, RandomNumberGenerator.GetBytes(SaltBytes)),
                Tags = [Administrator],
            };
            await document.WriteAsync(guest).ConfigureAwait(false);
        }
        await CreateAsync(new VirtualHostSettings
        {
            Name = DefaultHost,
            Description = "Default virtual host",
        }.With(UserState.Guest, UserPermissions.All(guest.Id))).ConfigureAwait(false);
        var index = new VirtualHostIndex { Hosts = [DefaultHost], Users = [UserState.Guest] };
        await _index.WriteAsync(index).ConfigureAwait(false);
        return index;
    }

    // Takes the place of a document that a crash has left, above its epoch.
    private async Task CreateAsync(VirtualHostSettings settings)
    {
        var documents = new VirtualHostDocuments(_store, settings.Name);
        var left = await documents.ReadAsync().ConfigureAwait(false);
        var epoch = Math.Max(settings.Epoch, left?.Epoch ?? 0);
        await documents.WriteAsync(settings with { Epoch = epoch, FirstEpoch = epoch + 1 }).ConfigureAwait(false);
    }

    private StoredDocument<UserState> DocumentOf(string name)
    {
        if (!_documents.TryGetValue(name, out var document))
            _documents[name] = document = new StoredDocument<UserState>(_store, $"{UserState.StoreType}/{name}",
                VirtualHostJson.Default.UserState);
        return document;
    }

    private static ImmutableArray<string> Sorted(ImmutableArray<string> names, string name) =>
        names.Contains(name) ? names : names.Add(name).Sort(StringComparer.Ordinal);
}
