"""Options as attributes of Socket and Context, for type checkers. Generated: `make docs`.

Knows    each option's name in lower and in upper case, and the Python type of its value.
Refuses  to exist at run time: there the descriptors of options.py do it.
"""

from typing import TYPE_CHECKING

__all__ = ["ContextAttributes", "SocketAttributes"]


class SocketAttributes:
    """A socket's options."""

    if TYPE_CHECKING:
        routing_id: bytes
        ROUTING_ID: bytes
        identity: bytes
        IDENTITY: bytes
        router_mandatory: int
        ROUTER_MANDATORY: int
        fail_unroutable: int
        FAIL_UNROUTABLE: int
        router_behavior: int
        ROUTER_BEHAVIOR: int
        router_handover: int
        ROUTER_HANDOVER: int
        router_raw: int
        ROUTER_RAW: int
        probe_router: int
        PROBE_ROUTER: int
        connect_routing_id: bytes
        CONNECT_ROUTING_ID: bytes
        connect_rid: bytes
        CONNECT_RID: bytes
        router_notify: int
        ROUTER_NOTIFY: int
        req_correlate: int
        REQ_CORRELATE: int
        req_relaxed: int
        REQ_RELAXED: int
        stream_notify: int
        STREAM_NOTIFY: int
        SUBSCRIBE: str | bytes
        UNSUBSCRIBE: str | bytes
        xpub_verbose: int
        XPUB_VERBOSE: int
        xpub_verboser: int
        XPUB_VERBOSER: int
        xpub_manual: int
        XPUB_MANUAL: int
        xpub_manual_last_value: int
        XPUB_MANUAL_LAST_VALUE: int
        xpub_nodrop: int
        XPUB_NODROP: int
        xpub_welcome_msg: bytes
        XPUB_WELCOME_MSG: bytes
        only_first_subscribe: int
        ONLY_FIRST_SUBSCRIBE: int
        invert_matching: int
        INVERT_MATCHING: int
        xsub_verbose_unsubscribe: int
        XSUB_VERBOSE_UNSUBSCRIBE: int
        HWM: int
        sndhwm: int
        SNDHWM: int
        rcvhwm: int
        RCVHWM: int
        conflate: int
        CONFLATE: int
        maxmsgsize: int
        MAXMSGSIZE: int
        sndbuf: int
        SNDBUF: int
        rcvbuf: int
        RCVBUF: int
        immediate: int
        IMMEDIATE: int
        delay_attach_on_connect: int
        DELAY_ATTACH_ON_CONNECT: int
        in_batch_size: int
        IN_BATCH_SIZE: int
        out_batch_size: int
        OUT_BATCH_SIZE: int
        priority: int
        PRIORITY: int
        busy_poll: int
        BUSY_POLL: int
        sndtimeo: int
        SNDTIMEO: int
        rcvtimeo: int
        RCVTIMEO: int
        linger: int
        LINGER: int
        affinity: int
        AFFINITY: int
        backlog: int
        BACKLOG: int
        reconnect_ivl: int
        RECONNECT_IVL: int
        reconnect_ivl_max: int
        RECONNECT_IVL_MAX: int
        reconnect_stop: int
        RECONNECT_STOP: int
        connect_timeout: int
        CONNECT_TIMEOUT: int
        handshake_ivl: int
        HANDSHAKE_IVL: int
        heartbeat_ivl: int
        HEARTBEAT_IVL: int
        heartbeat_ttl: int
        HEARTBEAT_TTL: int
        heartbeat_timeout: int
        HEARTBEAT_TIMEOUT: int
        use_fd: int
        USE_FD: int
        metadata: bytes
        METADATA: bytes
        hello_msg: bytes
        HELLO_MSG: bytes
        disconnect_msg: bytes
        DISCONNECT_MSG: bytes
        hiccup_msg: bytes
        HICCUP_MSG: bytes
        blocky: int
        BLOCKY: int
        ipv6: int
        IPV6: int
        ipv4only: int
        IPV4ONLY: int
        tcp_keepalive: int
        TCP_KEEPALIVE: int
        tcp_keepalive_cnt: int
        TCP_KEEPALIVE_CNT: int
        tcp_keepalive_idle: int
        TCP_KEEPALIVE_IDLE: int
        tcp_keepalive_intvl: int
        TCP_KEEPALIVE_INTVL: int
        tcp_maxrt: int
        TCP_MAXRT: int
        tos: int
        TOS: int
        bindtodevice: bytes
        BINDTODEVICE: bytes
        socks_proxy: bytes
        SOCKS_PROXY: bytes
        socks_username: bytes
        SOCKS_USERNAME: bytes
        socks_password: bytes
        SOCKS_PASSWORD: bytes
        loopback_fastpath: int
        LOOPBACK_FASTPATH: int
        rate: int
        RATE: int
        recovery_ivl: int
        RECOVERY_IVL: int
        multicast_hops: int
        MULTICAST_HOPS: int
        multicast_maxtpdu: int
        MULTICAST_MAXTPDU: int
        multicast_loop: int
        MULTICAST_LOOP: int
        vmci_buffer_size: int
        VMCI_BUFFER_SIZE: int
        vmci_buffer_min_size: int
        VMCI_BUFFER_MIN_SIZE: int
        vmci_buffer_max_size: int
        VMCI_BUFFER_MAX_SIZE: int
        vmci_connect_timeout: int
        VMCI_CONNECT_TIMEOUT: int
        norm_mode: int
        NORM_MODE: int
        norm_unicast_nack: int
        NORM_UNICAST_NACK: int
        norm_buffer_size: int
        NORM_BUFFER_SIZE: int
        norm_segment_size: int
        NORM_SEGMENT_SIZE: int
        norm_block_size: int
        NORM_BLOCK_SIZE: int
        norm_num_parity: int
        NORM_NUM_PARITY: int
        norm_num_autoparity: int
        NORM_NUM_AUTOPARITY: int
        norm_push: int
        NORM_PUSH: int
        wss_key_pem: bytes
        WSS_KEY_PEM: bytes
        wss_cert_pem: bytes
        WSS_CERT_PEM: bytes
        wss_trust_pem: bytes
        WSS_TRUST_PEM: bytes
        wss_hostname: bytes
        WSS_HOSTNAME: bytes
        wss_trust_system: int
        WSS_TRUST_SYSTEM: int
        plain_server: int
        PLAIN_SERVER: int
        plain_username: bytes
        PLAIN_USERNAME: bytes
        plain_password: bytes
        PLAIN_PASSWORD: bytes
        curve_server: int
        CURVE_SERVER: int
        curve_publickey: bytes
        CURVE_PUBLICKEY: bytes
        curve_secretkey: bytes
        CURVE_SECRETKEY: bytes
        curve_serverkey: bytes
        CURVE_SERVERKEY: bytes
        zap_domain: bytes
        ZAP_DOMAIN: bytes
        zap_enforce_domain: int
        ZAP_ENFORCE_DOMAIN: int
        gssapi_server: int
        GSSAPI_SERVER: int
        gssapi_principal: bytes
        GSSAPI_PRINCIPAL: bytes
        gssapi_service_principal: bytes
        GSSAPI_SERVICE_PRINCIPAL: bytes
        gssapi_plaintext: int
        GSSAPI_PLAINTEXT: int
        gssapi_principal_nametype: int
        GSSAPI_PRINCIPAL_NAMETYPE: int
        gssapi_service_principal_nametype: int
        GSSAPI_SERVICE_PRINCIPAL_NAMETYPE: int
        tcp_accept_filter: bytes
        TCP_ACCEPT_FILTER: bytes
        ipc_filter_pid: int
        IPC_FILTER_PID: int
        ipc_filter_uid: int
        IPC_FILTER_UID: int
        ipc_filter_gid: int
        IPC_FILTER_GID: int
        spin_us: int
        SPIN_US: int
        ipc_file_mode: int
        IPC_FILE_MODE: int
        ipc_mode: int
        IPC_MODE: int
        ipc_takeover: int
        IPC_TAKEOVER: int
        redeliver: int
        REDELIVER: int
        ring_bytes: int
        RING_BYTES: int
        hwm_bytes: int
        HWM_BYTES: int
        overflow: int
        OVERFLOW: int
        arena_max: int
        ARENA_MAX: int
        ipc_strict: int
        IPC_STRICT: int

        @property
        def topics_count(self) -> int: ...

        @property
        def TOPICS_COUNT(self) -> int: ...

        @property
        def TYPE(self) -> int: ...

        @property
        def rcvmore(self) -> int: ...

        @property
        def RCVMORE(self) -> int: ...

        @property
        def fd(self) -> int: ...

        @property
        def FD(self) -> int: ...

        @property
        def events(self) -> int: ...

        @property
        def EVENTS(self) -> int: ...

        @property
        def last_endpoint(self) -> bytes: ...

        @property
        def LAST_ENDPOINT(self) -> bytes: ...

        @property
        def mechanism(self) -> int: ...

        @property
        def MECHANISM(self) -> int: ...

        @property
        def thread_safe(self) -> int: ...

        @property
        def THREAD_SAFE(self) -> int: ...


class ContextAttributes:
    """A context's options, and the defaults of its sockets' options."""

    if TYPE_CHECKING:
        io_threads: int
        IO_THREADS: int
        max_sockets: int
        MAX_SOCKETS: int
        socket_limit: int
        SOCKET_LIMIT: int
        thread_priority: int
        THREAD_PRIORITY: int
        thread_sched_policy: int
        THREAD_SCHED_POLICY: int
        max_msgsz: int
        MAX_MSGSZ: int
        thread_affinity_cpu_add: int
        THREAD_AFFINITY_CPU_ADD: int
        thread_affinity_cpu_remove: int
        THREAD_AFFINITY_CPU_REMOVE: int
        thread_name_prefix: int
        THREAD_NAME_PREFIX: int
        routing_id: bytes
        ROUTING_ID: bytes
        identity: bytes
        IDENTITY: bytes
        router_mandatory: int
        ROUTER_MANDATORY: int
        fail_unroutable: int
        FAIL_UNROUTABLE: int
        router_behavior: int
        ROUTER_BEHAVIOR: int
        router_handover: int
        ROUTER_HANDOVER: int
        router_raw: int
        ROUTER_RAW: int
        probe_router: int
        PROBE_ROUTER: int
        connect_routing_id: bytes
        CONNECT_ROUTING_ID: bytes
        connect_rid: bytes
        CONNECT_RID: bytes
        router_notify: int
        ROUTER_NOTIFY: int
        req_correlate: int
        REQ_CORRELATE: int
        req_relaxed: int
        REQ_RELAXED: int
        stream_notify: int
        STREAM_NOTIFY: int
        subscribe: bytes
        SUBSCRIBE: bytes
        unsubscribe: bytes
        UNSUBSCRIBE: bytes
        xpub_verbose: int
        XPUB_VERBOSE: int
        xpub_verboser: int
        XPUB_VERBOSER: int
        xpub_manual: int
        XPUB_MANUAL: int
        xpub_manual_last_value: int
        XPUB_MANUAL_LAST_VALUE: int
        xpub_nodrop: int
        XPUB_NODROP: int
        xpub_welcome_msg: bytes
        XPUB_WELCOME_MSG: bytes
        only_first_subscribe: int
        ONLY_FIRST_SUBSCRIBE: int
        invert_matching: int
        INVERT_MATCHING: int
        topics_count: int
        TOPICS_COUNT: int
        xsub_verbose_unsubscribe: int
        XSUB_VERBOSE_UNSUBSCRIBE: int
        hwm: int
        HWM: int
        sndhwm: int
        SNDHWM: int
        rcvhwm: int
        RCVHWM: int
        conflate: int
        CONFLATE: int
        maxmsgsize: int
        MAXMSGSIZE: int
        sndbuf: int
        SNDBUF: int
        rcvbuf: int
        RCVBUF: int
        immediate: int
        IMMEDIATE: int
        delay_attach_on_connect: int
        DELAY_ATTACH_ON_CONNECT: int
        in_batch_size: int
        IN_BATCH_SIZE: int
        out_batch_size: int
        OUT_BATCH_SIZE: int
        priority: int
        PRIORITY: int
        busy_poll: int
        BUSY_POLL: int
        sndtimeo: int
        SNDTIMEO: int
        rcvtimeo: int
        RCVTIMEO: int
        linger: int
        LINGER: int
        type: int
        TYPE: int
        rcvmore: int
        RCVMORE: int
        fd: int
        FD: int
        events: int
        EVENTS: int
        last_endpoint: bytes
        LAST_ENDPOINT: bytes
        mechanism: int
        MECHANISM: int
        thread_safe: int
        THREAD_SAFE: int
        affinity: int
        AFFINITY: int
        backlog: int
        BACKLOG: int
        reconnect_ivl: int
        RECONNECT_IVL: int
        reconnect_ivl_max: int
        RECONNECT_IVL_MAX: int
        reconnect_stop: int
        RECONNECT_STOP: int
        connect_timeout: int
        CONNECT_TIMEOUT: int
        handshake_ivl: int
        HANDSHAKE_IVL: int
        heartbeat_ivl: int
        HEARTBEAT_IVL: int
        heartbeat_ttl: int
        HEARTBEAT_TTL: int
        heartbeat_timeout: int
        HEARTBEAT_TIMEOUT: int
        use_fd: int
        USE_FD: int
        metadata: bytes
        METADATA: bytes
        hello_msg: bytes
        HELLO_MSG: bytes
        disconnect_msg: bytes
        DISCONNECT_MSG: bytes
        hiccup_msg: bytes
        HICCUP_MSG: bytes
        blocky: int
        BLOCKY: int
        ipv6: int
        IPV6: int
        ipv4only: int
        IPV4ONLY: int
        tcp_keepalive: int
        TCP_KEEPALIVE: int
        tcp_keepalive_cnt: int
        TCP_KEEPALIVE_CNT: int
        tcp_keepalive_idle: int
        TCP_KEEPALIVE_IDLE: int
        tcp_keepalive_intvl: int
        TCP_KEEPALIVE_INTVL: int
        tcp_maxrt: int
        TCP_MAXRT: int
        tos: int
        TOS: int
        bindtodevice: bytes
        BINDTODEVICE: bytes
        socks_proxy: bytes
        SOCKS_PROXY: bytes
        socks_username: bytes
        SOCKS_USERNAME: bytes
        socks_password: bytes
        SOCKS_PASSWORD: bytes
        loopback_fastpath: int
        LOOPBACK_FASTPATH: int
        rate: int
        RATE: int
        recovery_ivl: int
        RECOVERY_IVL: int
        multicast_hops: int
        MULTICAST_HOPS: int
        multicast_maxtpdu: int
        MULTICAST_MAXTPDU: int
        multicast_loop: int
        MULTICAST_LOOP: int
        vmci_buffer_size: int
        VMCI_BUFFER_SIZE: int
        vmci_buffer_min_size: int
        VMCI_BUFFER_MIN_SIZE: int
        vmci_buffer_max_size: int
        VMCI_BUFFER_MAX_SIZE: int
        vmci_connect_timeout: int
        VMCI_CONNECT_TIMEOUT: int
        norm_mode: int
        NORM_MODE: int
        norm_unicast_nack: int
        NORM_UNICAST_NACK: int
        norm_buffer_size: int
        NORM_BUFFER_SIZE: int
        norm_segment_size: int
        NORM_SEGMENT_SIZE: int
        norm_block_size: int
        NORM_BLOCK_SIZE: int
        norm_num_parity: int
        NORM_NUM_PARITY: int
        norm_num_autoparity: int
        NORM_NUM_AUTOPARITY: int
        norm_push: int
        NORM_PUSH: int
        wss_key_pem: bytes
        WSS_KEY_PEM: bytes
        wss_cert_pem: bytes
        WSS_CERT_PEM: bytes
        wss_trust_pem: bytes
        WSS_TRUST_PEM: bytes
        wss_hostname: bytes
        WSS_HOSTNAME: bytes
        wss_trust_system: int
        WSS_TRUST_SYSTEM: int
        plain_server: int
        PLAIN_SERVER: int
        plain_username: bytes
        PLAIN_USERNAME: bytes
        plain_password: bytes
        PLAIN_PASSWORD: bytes
        curve_server: int
        CURVE_SERVER: int
        curve_publickey: bytes
        CURVE_PUBLICKEY: bytes
        curve_secretkey: bytes
        CURVE_SECRETKEY: bytes
        curve_serverkey: bytes
        CURVE_SERVERKEY: bytes
        zap_domain: bytes
        ZAP_DOMAIN: bytes
        zap_enforce_domain: int
        ZAP_ENFORCE_DOMAIN: int
        gssapi_server: int
        GSSAPI_SERVER: int
        gssapi_principal: bytes
        GSSAPI_PRINCIPAL: bytes
        gssapi_service_principal: bytes
        GSSAPI_SERVICE_PRINCIPAL: bytes
        gssapi_plaintext: int
        GSSAPI_PLAINTEXT: int
        gssapi_principal_nametype: int
        GSSAPI_PRINCIPAL_NAMETYPE: int
        gssapi_service_principal_nametype: int
        GSSAPI_SERVICE_PRINCIPAL_NAMETYPE: int
        tcp_accept_filter: bytes
        TCP_ACCEPT_FILTER: bytes
        ipc_filter_pid: int
        IPC_FILTER_PID: int
        ipc_filter_uid: int
        IPC_FILTER_UID: int
        ipc_filter_gid: int
        IPC_FILTER_GID: int
        spin_us: int
        SPIN_US: int
        ipc_file_mode: int
        IPC_FILE_MODE: int
        ipc_mode: int
        IPC_MODE: int
        ipc_takeover: int
        IPC_TAKEOVER: int
        redeliver: int
        REDELIVER: int
        ring_bytes: int
        RING_BYTES: int
        hwm_bytes: int
        HWM_BYTES: int
        overflow: int
        OVERFLOW: int
        arena_max: int
        ARENA_MAX: int
        ipc_strict: int
        IPC_STRICT: int

        @property
        def msg_t_size(self) -> int: ...

        @property
        def MSG_T_SIZE(self) -> int: ...
