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

    /// <summary>The epoch of the broker that owns all of it, where several share the store. It rises with each claim.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public int Epoch { get; init; }

    /// <summary>The number of creations that were begun.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public long Creations { get; init; }
}

/// <summary>
/// The list of virtual hosts, and the users. Not thread safe: its owner serializes the calls.
/// <para>
/// <b>State.</b> The documents <c>vhost-index/all</c> and <c>amqp-user/name</c>. A user or virtual host exists if the index lists it and
/// its document is stored. A creation writes the document first, a deletion removes it first: what a crash between the two writes leaves
/// does not exist, and is overwritten by the next creation of the name. An installation without an index is new, and gets the virtual host
/// <c>/</c> and the first user, or guest where none is given; once deleted, they stay deleted.
/// </para>
/// <para>
/// <b>Failures.</b> After a write that failed, all is read again by the next call. Where the store is shared, the documents with such a
/// write are then written once more, so that the first write, should it still be on its way, loses its compare-and-swap.
/// </para>
/// <para>
/// <b>Several owners.</b> Where the store is shared, a catalogue raises the epoch in the index, then writes every user. From then on an
/// earlier one's writes lose their compare-and-swap. The document of a new virtual host has none to lose: an owner reads what is there,
/// then writes the index, and only then the document.
/// </para>
/// </summary>
internal sealed class VirtualHostCatalogue
{
    /// <summary>The virtual host that exists from the start.</summary>
    public const string DefaultHost = "/";

    private const string Administrator = "administrator";
    private const int SaltBytes = 4;
    private const int ClaimAttempts = 10;

    private readonly IStateStore _store;
    private readonly StoredDocument<VirtualHostIndex> _index;
    private readonly Dictionary<string, StoredDocument<UserState>> _documents = new(StringComparer.Ordinal);
    private UserDirectory _users = UserDirectory.Empty;
    private ImmutableArray<string> _hosts = [];
    private readonly HashSet<string> _unclear = new(StringComparer.Ordinal);
    private readonly bool _isShared;
    private readonly FirstUser? _first;
    private bool _isKnown;
    private bool _isIndexUnclear;
    private volatile bool _isLost;

    private VirtualHostCatalogue(IStateStore store, bool isShared, FirstUser? first)
    {
        (_store, _isShared, _first) = (store, isShared, first);
        _index = new StoredDocument<VirtualHostIndex>(store, VirtualHostIndex.Key, VirtualHostJson.Default.VirtualHostIndex);
    }

    /// <summary>Occurs after each change of <see cref="Users"/>.</summary>
    public event Action? UsersChanged;

    /// <summary>The epoch of its claim; 0 where the store is not shared.</summary>
    public int Epoch { get; private set; }

    /// <summary>Whether another catalogue has claimed the documents. This one writes nothing more.</summary>
    public bool IsLost => _isLost;

    /// <summary>The users.</summary>
    public UserDirectory Users => Volatile.Read(ref _users);

    /// <summary>The names of the virtual hosts.</summary>
    public ImmutableArray<string> Hosts => _hosts;

    /// <summary>Reads the catalogue, and completes a new installation.</summary>
    /// <param name="store">The store.</param>
    /// <param name="isShared">Whether other processes use the store: then it is claimed.</param>
    /// <param name="first">The first user of a new installation; null: guest, with its name as the password.</param>
    /// <exception cref="CorruptStateException">A document is damaged.</exception>
    /// <exception cref="StateConflictException">Another process claims it at the same time.</exception>
    public static async Task<VirtualHostCatalogue> OpenAsync(IStateStore store, bool isShared, FirstUser? first = null)
    {
        var catalogue = new VirtualHostCatalogue(store, isShared, first);
        if (isShared)
            await catalogue.ClaimAsync().ConfigureAwait(false);
        else
            await catalogue.ReadAsync().ConfigureAwait(false);
        return catalogue;
    }

    /// <summary>Reads what is stored, if that is unknown.</summary>
    /// <exception cref="StateConflictException">Another catalogue has claimed it.</exception>
    public async Task ReadAsync()
    {
        if (_isKnown)
            return;
        var index = await _index.ReadAsync().ConfigureAwait(false) ?? await InstallAsync().ConfigureAwait(false);
        var users = await Task.WhenAll(index.Users.Select(name => DocumentOf(name).ReadAsync().AsTask())).ConfigureAwait(false);
        if (_isShared)
        {
            await ConfirmAsync().ConfigureAwait(false); // Else these may be the etags of a later owner's documents.
            await WriteUnclearAsync(index).ConfigureAwait(false);
        }
        _hosts = index.Hosts;
        _isKnown = true;
        Show(new UserDirectory(UserDirectory.Empty.ByName.SetItems(
            users.OfType<UserState>().Select(user => KeyValuePair.Create(user.Name, user)))));
    }

    /// <summary>Demands that no other catalogue has claimed the documents. Does nothing where the store is not shared.</summary>
    /// <exception cref="StateConflictException">Another one has.</exception>
    public async Task ConfirmAsync()
    {
        if (!_isShared)
            return;
        var stored = new StoredDocument<VirtualHostIndex>(_store, VirtualHostIndex.Key, VirtualHostJson.Default.VirtualHostIndex);
        if (!_isLost && await stored.ReadAsync().ConfigureAwait(false) is { } index && index.Epoch == Epoch)
            return;
        _isLost = true;
        throw new StateConflictException(VirtualHostIndex.Key, null, null);
    }

    /// <summary>Carries out what claims documents. An earlier owner's last writes may come between; they get fewer with each
    /// attempt.</summary>
    /// <exception cref="StateConflictException">Another catalogue has claimed the documents, or the attempts were in vain.</exception>
    public async Task<T> ClaimedAsync<T>(Func<Task<T>> claim)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await claim().ConfigureAwait(false);
            }
            catch (StateConflictException) when (_isShared && attempt < ClaimAttempts)
            {
                await ConfirmAsync().ConfigureAwait(false);
            }
        }
    }

    /// <summary>Adds or changes a user.</summary>
    public Task PutAsync(UserState user) => ChangeAsync(async index =>
    {
        _unclear.Add(user.Name);
        await DocumentOf(user.Name).WriteAsync(user).ConfigureAwait(false);
        if (!index.Users.Contains(user.Name))
            await _index.WriteAsync(index with { Users = Sorted(index.Users, user.Name) }).ConfigureAwait(false);
        Show(new UserDirectory(Users.ByName.SetItem(user.Name, user)));
    });

    /// <summary>Deletes a user.</summary>
    public Task DeleteUserAsync(string name) => ChangeAsync(async index =>
    {
        _unclear.Add(name);
        await DocumentOf(name).DeleteAsync().ConfigureAwait(false);
        await _index.WriteAsync(index with { Users = index.Users.Remove(name) }).ConfigureAwait(false);
        _documents.Remove(name);
        Show(new UserDirectory(Users.ByName.Remove(name)));
    });

    /// <summary>Adds a virtual host.</summary>
    public Task AddAsync(VirtualHostSettings settings) => ChangeAsync(async index =>
    {
        // Takes the place of a document that a crash has left, above its epoch.
        var documents = new VirtualHostDocuments(_store, settings.Name);
        var left = await documents.ReadAsync().ConfigureAwait(false);
        index = index with { Creations = index.Creations + 1 };
        if (_isShared)
            await _index.WriteAsync(index).ConfigureAwait(false);
        var epoch = Math.Max(index.DeletedEpoch, left?.Epoch ?? 0);
        await documents.WriteAsync(settings with { Epoch = epoch, FirstEpoch = epoch + 1 }).ConfigureAwait(false);
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
        (_isKnown, _isIndexUnclear) = (false, true);
        await change((await _index.ReadAsync().ConfigureAwait(false))!).ConfigureAwait(false);
        _unclear.Clear();
        (_isKnown, _isIndexUnclear) = (true, false);
    }

    private async Task ClaimAsync()
    {
        var index = await _index.ReadAsync().ConfigureAwait(false) ?? await InstallAsync().ConfigureAwait(false);
        Epoch = checked(index.Epoch + 1);
        await _index.WriteAsync(index with { Epoch = Epoch }).ConfigureAwait(false);
        _unclear.UnionWith(index.Users);
        await ClaimedAsync(async () =>
        {
            await ReadAsync().ConfigureAwait(false);
            return true;
        }).ConfigureAwait(false);
    }

    private async Task WriteUnclearAsync(VirtualHostIndex index)
    {
        await Task.WhenAll(_unclear.Select(DocumentOf).Select(async document =>
        {
            if (await document.ReadAsync().ConfigureAwait(false) is { } user)
                await document.WriteAsync(user).ConfigureAwait(false);
        })).ConfigureAwait(false);
        if (_isIndexUnclear)
            await _index.WriteAsync(index with { Creations = index.Creations + 1 }).ConfigureAwait(false);
        _unclear.Clear();
        _isIndexUnclear = false;
    }

    private void Show(UserDirectory users)
    {
        Volatile.Write(ref _users, users);
        UsersChanged?.Invoke();
    }

    // A crash before the index is written leaves documents that the next start uses. Another broker may have them, too, and even be ahead:
    // what is there stays.
    private async Task<VirtualHostIndex> InstallAsync()
    {
        var (name, password) = _first ?? new FirstUser(UserState.Guest, UserState.Guest);
        var document = DocumentOf(name);
        var user = await document.ReadAsync().ConfigureAwait(false);
        if (user is null)
        {
            user = new UserState
            {
                Name = name,
                Id = VirtualHostOwner.NewId(),
                PasswordHash = PasswordHash.Create(password, RandomNumberGenerator.GetBytes(SaltBytes)),
                Tags = [Administrator],
            };
            await document.WriteAsync(user).ConfigureAwait(false);
        }
        var documents = new VirtualHostDocuments(_store, DefaultHost);
        if (await documents.ReadAsync().ConfigureAwait(false) is null)
            await documents.WriteAsync(new VirtualHostSettings
            {
                Name = DefaultHost,
                Description = "Default virtual host",
                FirstEpoch = 1,
            }.With(name, UserPermissions.All(user.Id))).ConfigureAwait(false);
        var index = new VirtualHostIndex { Hosts = [DefaultHost], Users = [name] };
        await _index.WriteAsync(index).ConfigureAwait(false);
        return index;
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
