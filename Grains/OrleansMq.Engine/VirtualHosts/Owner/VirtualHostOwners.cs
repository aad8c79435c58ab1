using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using OrleansMq.Diagnostics;
using OrleansMq.State;

namespace OrleansMq.VirtualHosts;

/// <summary>
/// The owners of all virtual hosts, and the users. Commands of clients go to the owner of the virtual host and do not wait for each other's
/// host. Commands of operators take turns. A broker that stands alone reads the owners' images. Thread safe.
/// <para>
/// <b>Several brokers.</b> Where the store is shared, another broker may take everything over: the catalogue first, then each virtual host.
/// This one then answers no more (<see cref="IsLost"/>), and claims nothing again.
/// </para>
/// </summary>
internal sealed class VirtualHostOwners : IVirtualHosts, IAsyncDisposable
{
    private readonly ConcurrentDictionary<string, VirtualHostOwner> _owners = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim _turn = new(1, 1);
    private readonly IStateStore _store;
    private readonly VirtualHostCatalogue _catalogue;
    private readonly VirtualHostOwnerOptions _options;
    private readonly VirtualHostsImage _newest;
    private volatile bool _isClosed;

    private VirtualHostOwners(IStateStore store, VirtualHostCatalogue catalogue, VirtualHostOwnerOptions options,
        VirtualHostsImage newest) => (_store, _catalogue, _options, _newest) = (store, catalogue, options, newest);

    /// <inheritdoc/>
    public event Action<VirtualHostChange>? Changed;

    /// <summary>Occurs after each change of <see cref="Users"/>, before the answer to the command that made it.</summary>
    public event Action? UsersChanged
    {
        add => _catalogue.UsersChanged += value;
        remove => _catalogue.UsersChanged -= value;
    }

    /// <summary>Whether another broker has taken the virtual hosts over.</summary>
    public bool IsLost => _catalogue.IsLost || (_options.IsShared && _owners.Values.Any(static owner => owner.IsSuperseded));

    /// <inheritdoc/>
    public bool IsShared => _options.IsShared;

    /// <inheritdoc/>
    public UserDirectory Users => _catalogue.Users;

    /// <inheritdoc/>
    public ImmutableArray<string> Names => [.. _owners.Keys.Order(StringComparer.Ordinal)];

    /// <summary>Opens all virtual hosts of a store that no other process uses. One that cannot be opened is logged, and opened again when
    /// it is used.</summary>
    /// <param name="store">The store.</param>
    /// <param name="log">The log.</param>
    /// <param name="users">Whose names users do not take, and the first user; null: nobody's, and guest.</param>
    /// <exception cref="CorruptStateException">The list of virtual hosts, or a user, is damaged.</exception>
    public static Task<VirtualHostOwners> OpenAsync(IStateStore store, EngineLog log, UserRules? users = null) => OpenAsync(store,
        new VirtualHostOwnerOptions { Log = log, Users = users ?? new UserRules() },
        static _ => Task.FromResult(VirtualHostsImage.Empty));

    /// <summary>Claims and opens all virtual hosts. One that cannot be opened is logged, and opened again when it is used.</summary>
    /// <param name="store">The store.</param>
    /// <param name="options">How the owners work.</param>
    /// <param name="findNewest">Given the epoch, finds the newest image of the live brokers, which take none of an earlier owner from then
    /// on. What is not durable is taken from it.</param>
    /// <exception cref="CorruptStateException">The list of virtual hosts, or a user, is damaged.</exception>
    /// <exception cref="StateConflictException">Another broker claims them at the same time.</exception>
    public static async Task<VirtualHostOwners> OpenAsync(IStateStore store, VirtualHostOwnerOptions options,
        Func<int, Task<VirtualHostsImage>> findNewest)
    {
        var catalogue = await VirtualHostCatalogue.OpenAsync(store, options.IsShared, options.Users.First).ConfigureAwait(false);
        var hosts = new VirtualHostOwners(store, catalogue, options, await findNewest(catalogue.Epoch).ConfigureAwait(false));
        await Task.WhenAll(catalogue.Hosts.Select(hosts.TryOpenAsync)).ConfigureAwait(false);
        return hosts;
    }

    /// <summary>The epoch of the claim; 0 where the store is not shared.</summary>
    public int Epoch => _catalogue.Epoch;

    /// <inheritdoc/>
    public VirtualHostImage? Find(string name) => _owners.GetValueOrDefault(name)?.Image;

    /// <inheritdoc/>
    public async ValueTask<VirtualHostImage?> RefreshAsync(string name, CancellationToken cancellationToken = default) =>
        await FindOwnerAsync(name, cancellationToken).ConfigureAwait(false) is { } owner
            ? await owner.RefreshAsync(cancellationToken).ConfigureAwait(false) : null;

    /// <inheritdoc/>
    public async ValueTask<VirtualHostAnswer> SendAsync(string virtualHost, VirtualHostCommand command,
        CancellationToken cancellationToken = default)
    {
        var owner = await FindOwnerAsync(virtualHost, cancellationToken).ConfigureAwait(false) ?? throw NoHost(virtualHost);
        return await owner.SendAsync(command, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public ValueTask<VirtualHostAnswer> AdministerAsync(VirtualHostAdministration command, CancellationToken cancellationToken = default) =>
        new(InTurnAsync("could not be changed, the outcome is unknown", () => AdministerAsync(command), cancellationToken));

    /// <summary>Demands that no other broker has taken the virtual hosts over.</summary>
    /// <exception cref="BrokerException">One has, or the store cannot be read: retry.</exception>
    public Task ConfirmAsync(CancellationToken cancellationToken) =>
        InTurnAsync("could not be read", static () => Task.FromResult(true), cancellationToken);

    /// <summary>Ends all owners. Commands that wait are refused, and what is on its way to the store gets there.</summary>
    public async ValueTask DisposeAsync()
    {
        await _turn.WaitAsync().ConfigureAwait(false);
        _isClosed = true;
        _turn.Release();
        foreach (var owner in _owners.Values)
            await owner.DisposeAsync().ConfigureAwait(false);
    }

    private async Task<VirtualHostAnswer> AdministerAsync(VirtualHostAdministration command)
    {
        await _catalogue.ReadAsync().ConfigureAwait(false);
        switch (command)
        {
            case PutVirtualHost put when !_catalogue.Hosts.Contains(put.Name):
                return await CreateAsync(put).ConfigureAwait(false);
            case PutVirtualHost put:
                return await ChangeSettingsAsync(put.Name, put).ConfigureAwait(false);
            case DeleteVirtualHost delete:
                return await DeleteAsync(delete.Name).ConfigureAwait(false);
            case PutUser put:
                DemandUser(put.Name);
                if (PasswordHash.FaultOf(put.PasswordHash, put.HashingAlgorithm) is { } fault)
                    throw new DefinitionsException($"{fault}.");
                await _catalogue.PutAsync((Users.FindUser(put.Name)
                    ?? new UserState { Name = put.Name, Id = VirtualHostOwner.NewId() }) with
                {
                    PasswordHash = put.PasswordHash,
                    HashingAlgorithm = put.HashingAlgorithm,
                    Tags = put.Tags,
                }).ConfigureAwait(false);
                return new VirtualHostAnswer { IsChanged = true };
            case DeleteUser delete:
                if (Users.FindUser(delete.Name) is null)
                    return new VirtualHostAnswer();
                await _catalogue.DeleteUserAsync(delete.Name).ConfigureAwait(false);
                return new VirtualHostAnswer { IsChanged = true };
            case SetPermissions { VirtualHost: var host }:
                return await ChangeSettingsAsync(host, command).ConfigureAwait(false);
            case ClearPermissions { VirtualHost: var host }:
                return await ChangeSettingsAsync(host, command).ConfigureAwait(false);
            case SetTopicPermission { VirtualHost: var host }:
                return await ChangeSettingsAsync(host, command).ConfigureAwait(false);
            case ClearTopicPermission { VirtualHost: var host }:
                return await ChangeSettingsAsync(host, command).ConfigureAwait(false);
            case SetPolicy { VirtualHost: var host }:
                return await ChangeSettingsAsync(host, command).ConfigureAwait(false);
            case SetQueueLimit { VirtualHost: var host }:
                return await ChangeSettingsAsync(host, command).ConfigureAwait(false);
            case SetConnectionLimit { VirtualHost: var host }:
                return await ChangeSettingsAsync(host, command).ConfigureAwait(false);
            case ClearPolicy { VirtualHost: var host }:
                return await ChangeSettingsAsync(host, command).ConfigureAwait(false);
            case ImportDefinitions import:
                return await ImportAsync(Definitions.Parse(import.Json, import.VirtualHost)).ConfigureAwait(false);
            default:
                throw new ArgumentException($"The command {command.GetType().Name} is unknown.", nameof(command));
        }
    }

    private async Task<VirtualHostAnswer> ChangeSettingsAsync(string name, VirtualHostAdministration command)
    {
        var owner = await OwnerAsync(name).ConfigureAwait(false) ?? throw NoHost(name);
        return await owner.ChangeAsync(host => HostDecision.Of(host, SettingsDecision.Apply(command, host.Settings, Users)))
            .ConfigureAwait(false);
    }

    private async Task<VirtualHostAnswer> CreateAsync(PutVirtualHost put)
    {
        DemandName("virtual host", put.Name);
        var settings = SettingsDecision.Apply(put, new VirtualHostSettings { Name = put.Name }, Users);
        if (put.Creator is { } creator)
        {
            var user = Users.FindUser(creator) ?? throw new AmqpRefusedException(AmqpRefusal.NotFound($"user '{creator}'"));
            settings = settings.With(creator, UserPermissions.All(user.Id));
        }
        return new VirtualHostAnswer { IsChanged = true, Version = (await CreateAsync(settings).ConfigureAwait(false)).Image.Version };
    }

    private async Task<VirtualHostOwner> CreateAsync(VirtualHostSettings settings)
    {
        await _catalogue.AddAsync(settings).ConfigureAwait(false);
        return await OwnerAsync(settings.Name).ConfigureAwait(false) ?? throw NoHost(settings.Name);
    }

    private async Task<VirtualHostAnswer> DeleteAsync(string name)
    {
        if (!_catalogue.Hosts.Contains(name))
            return new VirtualHostAnswer();
        var owner = await OwnerAsync(name).ConfigureAwait(false);
        if (owner is not null)
            await owner.DeleteAsync().ConfigureAwait(false);
        await _catalogue.RemoveAsync(name, owner?.Epoch ?? 0).ConfigureAwait(false);
        _owners.TryRemove(name, out _);
        return new VirtualHostAnswer { IsChanged = true };
    }

    // Decided as a whole first. Each virtual host is decided again by its owner, since clients may have changed it.
    private async Task<VirtualHostAnswer> ImportAsync(Definitions definitions)
    {
        foreach (var name in _catalogue.Hosts)
            await OwnerAsync(name).ConfigureAwait(false);
        var states = _owners.Values.Select(owner => owner.Image)
            .ToDictionary(image => image.Name, image => new VirtualHostState(image.Settings, image.Topology), StringComparer.Ordinal);
        var import = DefinitionsImport.Of(definitions, Users.ByName, states, VirtualHostOwner.NewId);
        foreach (var host in import.Hosts.Where(host => host.IsNew))
            DemandName("virtual host", host.Settings.Name);
        foreach (var user in import.Users)
            DemandUser(user.Name);
        foreach (var user in import.Users)
            await _catalogue.PutAsync(user).ConfigureAwait(false);
        foreach (var host in import.Hosts)
        {
            var name = host.Settings.Name;
            var owner = host.IsNew
                ? await CreateAsync(definitions.VirtualHosts.First(defined => defined.Name == name)).ConfigureAwait(false)
                : await OwnerAsync(name).ConfigureAwait(false) ?? throw NoHost(name);
            var part = definitions.Of(name);
            await owner.ChangeAsync(state =>
            {
                var decided = DefinitionsImport.Of(part, Users.ByName,
                    new Dictionary<string, VirtualHostState>(StringComparer.Ordinal) { [name] = state }, VirtualHostOwner.NewId);
                return decided.Hosts is [var own] ? new HostDecision(own.Settings, own.Topology)
                    : HostDecision.Of(state, state.Settings);
            }).ConfigureAwait(false);
        }
        return new VirtualHostAnswer { IsChanged = true, Ignored = definitions.Ignored };
    }

    private async Task<VirtualHostOwner?> FindOwnerAsync(string name, CancellationToken cancellationToken) =>
        TryFind(name, out var owner) ? owner
            : await InTurnAsync($"'{name}' could not be opened", () => OwnerAsync(name), cancellationToken).ConfigureAwait(false);

    // One that has lost its virtual host to another broker's says so.
    private bool TryFind(string name, [NotNullWhen(true)] out VirtualHostOwner? owner) => _owners.TryGetValue(name, out owner)
        && (!owner.Ended.IsCompleted || (_options.IsShared && owner.IsSuperseded));

    // In turn.
    private async Task<VirtualHostOwner?> OwnerAsync(string name)
    {
        if (TryFind(name, out var owner))
            return owner;
        await _catalogue.ReadAsync().ConfigureAwait(false);
        return _catalogue.Hosts.Contains(name) ? await OpenAsync(name).ConfigureAwait(false) : null;
    }

    private async Task<VirtualHostOwner?> OpenAsync(string name)
    {
        var before = _owners.GetValueOrDefault(name)?.Image ?? _newest.Hosts.GetValueOrDefault(name);
        await _catalogue.ConfirmAsync().ConfigureAwait(false); // An earlier owner takes nothing from a later one.
        if (await _catalogue.ClaimedAsync(() => VirtualHostOwner.OpenAsync(_store, name, _options, before?.Topology))
            .ConfigureAwait(false) is not { } owner)
            return null; // Its deletion was not completed.
        owner.Changed += change => Changed?.Invoke(change);
        _owners[name] = owner;
        Changed?.Invoke(new VirtualHostChange(name, before, owner.Image));
        return owner;
    }

    private async Task TryOpenAsync(string name)
    {
        try
        {
            await OpenAsync(name).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            _options.Log.Write(EngineLogLevel.Error, $"The virtual host '{name}' cannot be opened: {failure.Message}", failure);
        }
    }

    private async Task<T> InTurnAsync<T>(string what, Func<Task<T>> action, CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_isClosed)
                throw new BrokerException(ErrorCode.CoordinatorNotAvailable, "The broker stops: retry at another, or later.");
            return await ConfirmedAsync(action).ConfigureAwait(false);
        }
        catch (StateConflictException) when (_catalogue.IsLost)
        {
            throw new BrokerException(ErrorCode.NotCoordinator, "Another broker owns the virtual hosts: retry.");
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or StateConflictException)
        {
            throw new BrokerException(ErrorCode.CoordinatorNotAvailable, $"The virtual host {what}: {failure.Message}", failure);
        }
        finally
        {
            _turn.Release();
        }
    }

    // An answer, or a refusal, that needed no write is given only where no other broker had claimed before.
    private async Task<T> ConfirmedAsync<T>(Func<Task<T>> action)
    {
        try
        {
            var answer = await action().ConfigureAwait(false);
            await _catalogue.ConfirmAsync().ConfigureAwait(false);
            return answer;
        }
        catch (AmqpRefusedException)
        {
            await _catalogue.ConfirmAsync().ConfigureAwait(false);
            throw;
        }
    }

    private static AmqpRefusedException NoHost(string name) => new(new AmqpRefusal(AmqpCode.NotAllowed, $"vhost {name} not found"));

    // One that exists may be changed: its name gives it no rights.
    private void DemandUser(string name)
    {
        DemandName("user", name);
        if (Users.FindUser(name) is null && _options.Users.IsReserved(name))
            throw new DefinitionsException($"name: '{name}' is a super user of the broker, which no user of AMQP can be: choose another "
                + "name for this one.");
    }

    private static void DemandName(string what, string name)
    {
        if (name.Length == 0)
            throw new DefinitionsException($"name: a {what} must have one.");
        if (ResourceNames.FaultOf($"the name of a {what}", name) is { } fault)
            throw new DefinitionsException($"name: {fault.Text}.");
    }
}
