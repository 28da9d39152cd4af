# ruff: noqa: PLR0915
# pyright: strict
"""Every constant and every option of the public API, with its type. Generated: `make docs`."""

from typing import assert_type

import shmzmq as zmq

CLASSES: tuple[type, ...] = (
    zmq.Errno,
    zmq.ContextOption,
    zmq.SocketType,
    zmq.SocketOption,
    zmq.MessageOption,
    zmq.Flag,
    zmq.RouterNotify,
    zmq.NormMode,
    zmq.SecurityMechanism,
    zmq.ReconnectStop,
    zmq.Event,
    zmq.PollEvent,
    zmq.DeviceType,
    zmq.ShmEvent,
    zmq.ShmOption,
    zmq.Overflow,
    zmq.Enum,
    zmq.IntEnum,
    zmq.IntFlag,
)

MEMBERS: tuple[int, ...] = (
    zmq.RouterNotify.CONNECT,
    zmq.RouterNotify.DISCONNECT,
    zmq.NormMode.FIXED,
    zmq.NormMode.CC,
    zmq.NormMode.CCL,
    zmq.NormMode.CCE,
    zmq.NormMode.CCE_ECNONLY,
    zmq.ReconnectStop.CONN_REFUSED,
    zmq.ReconnectStop.HANDSHAKE_FAILED,
    zmq.ReconnectStop.AFTER_DISCONNECT,
    zmq.Event.CONNECTED,
    zmq.Event.CONNECT_DELAYED,
    zmq.Event.CONNECT_RETRIED,
    zmq.Event.LISTENING,
    zmq.Event.BIND_FAILED,
    zmq.Event.ACCEPTED,
    zmq.Event.ACCEPT_FAILED,
    zmq.Event.CLOSED,
    zmq.Event.CLOSE_FAILED,
    zmq.Event.DISCONNECTED,
    zmq.Event.MONITOR_STOPPED,
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL,
    zmq.Event.HANDSHAKE_SUCCEEDED,
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL,
    zmq.Event.HANDSHAKE_FAILED_AUTH,
    zmq.Event.ALL_V1,
    zmq.Event.ALL,
    zmq.Event.PIPES_STATS,
    zmq.Event.ALL_V2,
    zmq.ShmEvent.RINGS,
    zmq.ShmEvent.NO_RINGS,
    zmq.ShmEvent.BROKEN,
    zmq.ShmEvent.ALL,
    zmq.Overflow.OWN,
    zmq.Overflow.BLOCK,
    zmq.Overflow.DROP_NEWEST,
    zmq.Overflow.DROP_OLDEST,
    zmq.Overflow.KEEP_LATEST,
)

NUMBERS: tuple[int, ...] = (
    zmq.EAGAIN,
    zmq.EFAULT,
    zmq.EINVAL,
    zmq.ENOTSUP,
    zmq.EPROTONOSUPPORT,
    zmq.ENOBUFS,
    zmq.ENETDOWN,
    zmq.EADDRINUSE,
    zmq.EADDRNOTAVAIL,
    zmq.ECONNREFUSED,
    zmq.EINPROGRESS,
    zmq.ENOTSOCK,
    zmq.EMSGSIZE,
    zmq.EAFNOSUPPORT,
    zmq.ENETUNREACH,
    zmq.ECONNABORTED,
    zmq.ECONNRESET,
    zmq.ENOTCONN,
    zmq.ETIMEDOUT,
    zmq.EHOSTUNREACH,
    zmq.ENETRESET,
    zmq.EFSM,
    zmq.ENOCOMPATPROTO,
    zmq.ETERM,
    zmq.EMTHREAD,
    zmq.IO_THREADS,
    zmq.MAX_SOCKETS,
    zmq.SOCKET_LIMIT,
    zmq.THREAD_PRIORITY,
    zmq.THREAD_SCHED_POLICY,
    zmq.MAX_MSGSZ,
    zmq.MSG_T_SIZE,
    zmq.THREAD_AFFINITY_CPU_ADD,
    zmq.THREAD_AFFINITY_CPU_REMOVE,
    zmq.THREAD_NAME_PREFIX,
    zmq.PAIR,
    zmq.PUB,
    zmq.SUB,
    zmq.REQ,
    zmq.REP,
    zmq.DEALER,
    zmq.ROUTER,
    zmq.PULL,
    zmq.PUSH,
    zmq.XPUB,
    zmq.XSUB,
    zmq.STREAM,
    zmq.XREQ,
    zmq.XREP,
    zmq.SERVER,
    zmq.CLIENT,
    zmq.RADIO,
    zmq.DISH,
    zmq.GATHER,
    zmq.SCATTER,
    zmq.DGRAM,
    zmq.PEER,
    zmq.CHANNEL,
    zmq.HWM,
    zmq.AFFINITY,
    zmq.ROUTING_ID,
    zmq.SUBSCRIBE,
    zmq.UNSUBSCRIBE,
    zmq.RATE,
    zmq.RECOVERY_IVL,
    zmq.SNDBUF,
    zmq.RCVBUF,
    zmq.RCVMORE,
    zmq.FD,
    zmq.EVENTS,
    zmq.TYPE,
    zmq.LINGER,
    zmq.RECONNECT_IVL,
    zmq.BACKLOG,
    zmq.RECONNECT_IVL_MAX,
    zmq.MAXMSGSIZE,
    zmq.SNDHWM,
    zmq.RCVHWM,
    zmq.MULTICAST_HOPS,
    zmq.RCVTIMEO,
    zmq.SNDTIMEO,
    zmq.LAST_ENDPOINT,
    zmq.ROUTER_MANDATORY,
    zmq.TCP_KEEPALIVE,
    zmq.TCP_KEEPALIVE_CNT,
    zmq.TCP_KEEPALIVE_IDLE,
    zmq.TCP_KEEPALIVE_INTVL,
    zmq.IMMEDIATE,
    zmq.XPUB_VERBOSE,
    zmq.ROUTER_RAW,
    zmq.IPV6,
    zmq.MECHANISM,
    zmq.PLAIN_SERVER,
    zmq.PLAIN_USERNAME,
    zmq.PLAIN_PASSWORD,
    zmq.CURVE_SERVER,
    zmq.CURVE_PUBLICKEY,
    zmq.CURVE_SECRETKEY,
    zmq.CURVE_SERVERKEY,
    zmq.PROBE_ROUTER,
    zmq.REQ_CORRELATE,
    zmq.REQ_RELAXED,
    zmq.CONFLATE,
    zmq.ZAP_DOMAIN,
    zmq.ROUTER_HANDOVER,
    zmq.TOS,
    zmq.CONNECT_ROUTING_ID,
    zmq.GSSAPI_SERVER,
    zmq.GSSAPI_PRINCIPAL,
    zmq.GSSAPI_SERVICE_PRINCIPAL,
    zmq.GSSAPI_PLAINTEXT,
    zmq.HANDSHAKE_IVL,
    zmq.SOCKS_PROXY,
    zmq.XPUB_NODROP,
    zmq.BLOCKY,
    zmq.XPUB_MANUAL,
    zmq.XPUB_WELCOME_MSG,
    zmq.STREAM_NOTIFY,
    zmq.INVERT_MATCHING,
    zmq.HEARTBEAT_IVL,
    zmq.HEARTBEAT_TTL,
    zmq.HEARTBEAT_TIMEOUT,
    zmq.XPUB_VERBOSER,
    zmq.CONNECT_TIMEOUT,
    zmq.TCP_MAXRT,
    zmq.THREAD_SAFE,
    zmq.MULTICAST_MAXTPDU,
    zmq.VMCI_BUFFER_SIZE,
    zmq.VMCI_BUFFER_MIN_SIZE,
    zmq.VMCI_BUFFER_MAX_SIZE,
    zmq.VMCI_CONNECT_TIMEOUT,
    zmq.USE_FD,
    zmq.GSSAPI_PRINCIPAL_NAMETYPE,
    zmq.GSSAPI_SERVICE_PRINCIPAL_NAMETYPE,
    zmq.BINDTODEVICE,
    zmq.IDENTITY,
    zmq.CONNECT_RID,
    zmq.TCP_ACCEPT_FILTER,
    zmq.IPC_FILTER_PID,
    zmq.IPC_FILTER_UID,
    zmq.IPC_FILTER_GID,
    zmq.IPV4ONLY,
    zmq.DELAY_ATTACH_ON_CONNECT,
    zmq.FAIL_UNROUTABLE,
    zmq.ROUTER_BEHAVIOR,
    zmq.ZAP_ENFORCE_DOMAIN,
    zmq.LOOPBACK_FASTPATH,
    zmq.METADATA,
    zmq.MULTICAST_LOOP,
    zmq.ROUTER_NOTIFY,
    zmq.XPUB_MANUAL_LAST_VALUE,
    zmq.SOCKS_USERNAME,
    zmq.SOCKS_PASSWORD,
    zmq.IN_BATCH_SIZE,
    zmq.OUT_BATCH_SIZE,
    zmq.WSS_KEY_PEM,
    zmq.WSS_CERT_PEM,
    zmq.WSS_TRUST_PEM,
    zmq.WSS_HOSTNAME,
    zmq.WSS_TRUST_SYSTEM,
    zmq.ONLY_FIRST_SUBSCRIBE,
    zmq.RECONNECT_STOP,
    zmq.HELLO_MSG,
    zmq.DISCONNECT_MSG,
    zmq.PRIORITY,
    zmq.BUSY_POLL,
    zmq.HICCUP_MSG,
    zmq.XSUB_VERBOSE_UNSUBSCRIBE,
    zmq.TOPICS_COUNT,
    zmq.NORM_MODE,
    zmq.NORM_UNICAST_NACK,
    zmq.NORM_BUFFER_SIZE,
    zmq.NORM_SEGMENT_SIZE,
    zmq.NORM_BLOCK_SIZE,
    zmq.NORM_NUM_PARITY,
    zmq.NORM_NUM_AUTOPARITY,
    zmq.NORM_PUSH,
    zmq.MORE,
    zmq.SHARED,
    zmq.SRCFD,
    zmq.DONTWAIT,
    zmq.SNDMORE,
    zmq.NOBLOCK,
    zmq.NOTIFY_CONNECT,
    zmq.NOTIFY_DISCONNECT,
    zmq.NORM_FIXED,
    zmq.NORM_CC,
    zmq.NORM_CCL,
    zmq.NORM_CCE,
    zmq.NORM_CCE_ECNONLY,
    zmq.NULL,
    zmq.PLAIN,
    zmq.CURVE,
    zmq.GSSAPI,
    zmq.RECONNECT_STOP_CONN_REFUSED,
    zmq.RECONNECT_STOP_HANDSHAKE_FAILED,
    zmq.RECONNECT_STOP_AFTER_DISCONNECT,
    zmq.PROTOCOL_ERROR_WS_UNSPECIFIED,
    zmq.PROTOCOL_ERROR_ZMTP_UNSPECIFIED,
    zmq.PROTOCOL_ERROR_ZMTP_UNEXPECTED_COMMAND,
    zmq.PROTOCOL_ERROR_ZMTP_INVALID_SEQUENCE,
    zmq.PROTOCOL_ERROR_ZMTP_KEY_EXCHANGE,
    zmq.PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_UNSPECIFIED,
    zmq.PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_MESSAGE,
    zmq.PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_HELLO,
    zmq.PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_INITIATE,
    zmq.PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_ERROR,
    zmq.PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_READY,
    zmq.PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_WELCOME,
    zmq.PROTOCOL_ERROR_ZMTP_INVALID_METADATA,
    zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC,
    zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH,
    zmq.PROTOCOL_ERROR_ZAP_UNSPECIFIED,
    zmq.PROTOCOL_ERROR_ZAP_MALFORMED_REPLY,
    zmq.PROTOCOL_ERROR_ZAP_BAD_REQUEST_ID,
    zmq.PROTOCOL_ERROR_ZAP_BAD_VERSION,
    zmq.PROTOCOL_ERROR_ZAP_INVALID_STATUS_CODE,
    zmq.PROTOCOL_ERROR_ZAP_INVALID_METADATA,
    zmq.EVENT_CONNECTED,
    zmq.EVENT_CONNECT_DELAYED,
    zmq.EVENT_CONNECT_RETRIED,
    zmq.EVENT_LISTENING,
    zmq.EVENT_BIND_FAILED,
    zmq.EVENT_ACCEPTED,
    zmq.EVENT_ACCEPT_FAILED,
    zmq.EVENT_CLOSED,
    zmq.EVENT_CLOSE_FAILED,
    zmq.EVENT_DISCONNECTED,
    zmq.EVENT_MONITOR_STOPPED,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
    zmq.EVENT_HANDSHAKE_SUCCEEDED,
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
    zmq.EVENT_HANDSHAKE_FAILED_AUTH,
    zmq.EVENT_ALL_V1,
    zmq.EVENT_ALL,
    zmq.EVENT_PIPES_STATS,
    zmq.EVENT_ALL_V2,
    zmq.POLLIN,
    zmq.POLLOUT,
    zmq.POLLERR,
    zmq.POLLPRI,
    zmq.STREAMER,
    zmq.FORWARDER,
    zmq.QUEUE,
    zmq.SPIN_US,
    zmq.IPC_FILE_MODE,
    zmq.IPC_MODE,
    zmq.IPC_TAKEOVER,
    zmq.REDELIVER,
    zmq.RING_BYTES,
    zmq.HWM_BYTES,
    zmq.IPC_STRICT,
    zmq.OVERFLOW,
    zmq.ARENA_MAX,
    zmq.SHM_MAX,
)


def socket_options(socket: zmq.Socket) -> None:
    assert_type(socket.routing_id, bytes)
    socket.routing_id = b""
    assert_type(socket.ROUTING_ID, bytes)
    socket.ROUTING_ID = b""
    assert_type(socket.identity, bytes)
    socket.identity = b""
    assert_type(socket.IDENTITY, bytes)
    socket.IDENTITY = b""
    socket.router_mandatory = 0
    socket.ROUTER_MANDATORY = 0
    socket.fail_unroutable = 0
    socket.FAIL_UNROUTABLE = 0
    socket.router_behavior = 0
    socket.ROUTER_BEHAVIOR = 0
    socket.router_handover = 0
    socket.ROUTER_HANDOVER = 0
    socket.router_raw = 0
    socket.ROUTER_RAW = 0
    socket.probe_router = 0
    socket.PROBE_ROUTER = 0
    socket.connect_routing_id = b""
    socket.CONNECT_ROUTING_ID = b""
    socket.connect_rid = b""
    socket.CONNECT_RID = b""
    assert_type(socket.router_notify, int)
    socket.router_notify = 0
    assert_type(socket.ROUTER_NOTIFY, int)
    socket.ROUTER_NOTIFY = 0
    socket.req_correlate = 0
    socket.REQ_CORRELATE = 0
    socket.req_relaxed = 0
    socket.REQ_RELAXED = 0
    socket.stream_notify = 0
    socket.STREAM_NOTIFY = 0
    socket.SUBSCRIBE = b""
    socket.UNSUBSCRIBE = b""
    socket.xpub_verbose = 0
    socket.XPUB_VERBOSE = 0
    socket.xpub_verboser = 0
    socket.XPUB_VERBOSER = 0
    socket.xpub_manual = 0
    socket.XPUB_MANUAL = 0
    socket.xpub_manual_last_value = 0
    socket.XPUB_MANUAL_LAST_VALUE = 0
    socket.xpub_nodrop = 0
    socket.XPUB_NODROP = 0
    socket.xpub_welcome_msg = b""
    socket.XPUB_WELCOME_MSG = b""
    socket.only_first_subscribe = 0
    socket.ONLY_FIRST_SUBSCRIBE = 0
    assert_type(socket.invert_matching, int)
    socket.invert_matching = 0
    assert_type(socket.INVERT_MATCHING, int)
    socket.INVERT_MATCHING = 0
    assert_type(socket.topics_count, int)
    assert_type(socket.TOPICS_COUNT, int)
    socket.xsub_verbose_unsubscribe = 0
    socket.XSUB_VERBOSE_UNSUBSCRIBE = 0
    assert_type(socket.HWM, int)
    socket.HWM = 0
    assert_type(socket.sndhwm, int)
    socket.sndhwm = 0
    assert_type(socket.SNDHWM, int)
    socket.SNDHWM = 0
    assert_type(socket.rcvhwm, int)
    socket.rcvhwm = 0
    assert_type(socket.RCVHWM, int)
    socket.RCVHWM = 0
    assert_type(socket.conflate, int)
    socket.conflate = 0
    assert_type(socket.CONFLATE, int)
    socket.CONFLATE = 0
    assert_type(socket.maxmsgsize, int)
    socket.maxmsgsize = 0
    assert_type(socket.MAXMSGSIZE, int)
    socket.MAXMSGSIZE = 0
    assert_type(socket.sndbuf, int)
    socket.sndbuf = 0
    assert_type(socket.SNDBUF, int)
    socket.SNDBUF = 0
    assert_type(socket.rcvbuf, int)
    socket.rcvbuf = 0
    assert_type(socket.RCVBUF, int)
    socket.RCVBUF = 0
    assert_type(socket.immediate, int)
    socket.immediate = 0
    assert_type(socket.IMMEDIATE, int)
    socket.IMMEDIATE = 0
    assert_type(socket.delay_attach_on_connect, int)
    socket.delay_attach_on_connect = 0
    assert_type(socket.DELAY_ATTACH_ON_CONNECT, int)
    socket.DELAY_ATTACH_ON_CONNECT = 0
    socket.in_batch_size = 0
    socket.IN_BATCH_SIZE = 0
    socket.out_batch_size = 0
    socket.OUT_BATCH_SIZE = 0
    socket.priority = 0
    socket.PRIORITY = 0
    socket.busy_poll = 0
    socket.BUSY_POLL = 0
    assert_type(socket.sndtimeo, int)
    socket.sndtimeo = 0
    assert_type(socket.SNDTIMEO, int)
    socket.SNDTIMEO = 0
    assert_type(socket.rcvtimeo, int)
    socket.rcvtimeo = 0
    assert_type(socket.RCVTIMEO, int)
    socket.RCVTIMEO = 0
    assert_type(socket.linger, int)
    socket.linger = 0
    assert_type(socket.LINGER, int)
    socket.LINGER = 0
    assert_type(socket.TYPE, int)
    assert_type(socket.rcvmore, int)
    assert_type(socket.RCVMORE, int)
    assert_type(socket.fd, int)
    assert_type(socket.FD, int)
    assert_type(socket.events, int)
    assert_type(socket.EVENTS, int)
    assert_type(socket.last_endpoint, bytes)
    assert_type(socket.LAST_ENDPOINT, bytes)
    assert_type(socket.mechanism, int)
    assert_type(socket.MECHANISM, int)
    assert_type(socket.thread_safe, int)
    assert_type(socket.THREAD_SAFE, int)
    assert_type(socket.affinity, int)
    socket.affinity = 0
    assert_type(socket.AFFINITY, int)
    socket.AFFINITY = 0
    assert_type(socket.backlog, int)
    socket.backlog = 0
    assert_type(socket.BACKLOG, int)
    socket.BACKLOG = 0
    assert_type(socket.reconnect_ivl, int)
    socket.reconnect_ivl = 0
    assert_type(socket.RECONNECT_IVL, int)
    socket.RECONNECT_IVL = 0
    assert_type(socket.reconnect_ivl_max, int)
    socket.reconnect_ivl_max = 0
    assert_type(socket.RECONNECT_IVL_MAX, int)
    socket.RECONNECT_IVL_MAX = 0
    assert_type(socket.reconnect_stop, int)
    socket.reconnect_stop = 0
    assert_type(socket.RECONNECT_STOP, int)
    socket.RECONNECT_STOP = 0
    assert_type(socket.connect_timeout, int)
    socket.connect_timeout = 0
    assert_type(socket.CONNECT_TIMEOUT, int)
    socket.CONNECT_TIMEOUT = 0
    assert_type(socket.handshake_ivl, int)
    socket.handshake_ivl = 0
    assert_type(socket.HANDSHAKE_IVL, int)
    socket.HANDSHAKE_IVL = 0
    assert_type(socket.heartbeat_ivl, int)
    socket.heartbeat_ivl = 0
    assert_type(socket.HEARTBEAT_IVL, int)
    socket.HEARTBEAT_IVL = 0
    assert_type(socket.heartbeat_ttl, int)
    socket.heartbeat_ttl = 0
    assert_type(socket.HEARTBEAT_TTL, int)
    socket.HEARTBEAT_TTL = 0
    assert_type(socket.heartbeat_timeout, int)
    socket.heartbeat_timeout = 0
    assert_type(socket.HEARTBEAT_TIMEOUT, int)
    socket.HEARTBEAT_TIMEOUT = 0
    assert_type(socket.use_fd, int)
    socket.use_fd = 0
    assert_type(socket.USE_FD, int)
    socket.USE_FD = 0
    socket.metadata = b""
    socket.METADATA = b""
    socket.hello_msg = b""
    socket.HELLO_MSG = b""
    socket.disconnect_msg = b""
    socket.DISCONNECT_MSG = b""
    socket.hiccup_msg = b""
    socket.HICCUP_MSG = b""
    socket.blocky = 0
    socket.BLOCKY = 0
    assert_type(socket.ipv6, int)
    socket.ipv6 = 0
    assert_type(socket.IPV6, int)
    socket.IPV6 = 0
    assert_type(socket.ipv4only, int)
    socket.ipv4only = 0
    assert_type(socket.IPV4ONLY, int)
    socket.IPV4ONLY = 0
    assert_type(socket.tcp_keepalive, int)
    socket.tcp_keepalive = 0
    assert_type(socket.TCP_KEEPALIVE, int)
    socket.TCP_KEEPALIVE = 0
    assert_type(socket.tcp_keepalive_cnt, int)
    socket.tcp_keepalive_cnt = 0
    assert_type(socket.TCP_KEEPALIVE_CNT, int)
    socket.TCP_KEEPALIVE_CNT = 0
    assert_type(socket.tcp_keepalive_idle, int)
    socket.tcp_keepalive_idle = 0
    assert_type(socket.TCP_KEEPALIVE_IDLE, int)
    socket.TCP_KEEPALIVE_IDLE = 0
    assert_type(socket.tcp_keepalive_intvl, int)
    socket.tcp_keepalive_intvl = 0
    assert_type(socket.TCP_KEEPALIVE_INTVL, int)
    socket.TCP_KEEPALIVE_INTVL = 0
    assert_type(socket.tcp_maxrt, int)
    socket.tcp_maxrt = 0
    assert_type(socket.TCP_MAXRT, int)
    socket.TCP_MAXRT = 0
    assert_type(socket.tos, int)
    socket.tos = 0
    assert_type(socket.TOS, int)
    socket.TOS = 0
    assert_type(socket.bindtodevice, bytes)
    socket.bindtodevice = b""
    assert_type(socket.BINDTODEVICE, bytes)
    socket.BINDTODEVICE = b""
    assert_type(socket.socks_proxy, bytes)
    socket.socks_proxy = b""
    assert_type(socket.SOCKS_PROXY, bytes)
    socket.SOCKS_PROXY = b""
    assert_type(socket.socks_username, bytes)
    socket.socks_username = b""
    assert_type(socket.SOCKS_USERNAME, bytes)
    socket.SOCKS_USERNAME = b""
    assert_type(socket.socks_password, bytes)
    socket.socks_password = b""
    assert_type(socket.SOCKS_PASSWORD, bytes)
    socket.SOCKS_PASSWORD = b""
    assert_type(socket.loopback_fastpath, int)
    socket.loopback_fastpath = 0
    assert_type(socket.LOOPBACK_FASTPATH, int)
    socket.LOOPBACK_FASTPATH = 0
    assert_type(socket.rate, int)
    socket.rate = 0
    assert_type(socket.RATE, int)
    socket.RATE = 0
    assert_type(socket.recovery_ivl, int)
    socket.recovery_ivl = 0
    assert_type(socket.RECOVERY_IVL, int)
    socket.RECOVERY_IVL = 0
    assert_type(socket.multicast_hops, int)
    socket.multicast_hops = 0
    assert_type(socket.MULTICAST_HOPS, int)
    socket.MULTICAST_HOPS = 0
    assert_type(socket.multicast_maxtpdu, int)
    socket.multicast_maxtpdu = 0
    assert_type(socket.MULTICAST_MAXTPDU, int)
    socket.MULTICAST_MAXTPDU = 0
    assert_type(socket.multicast_loop, int)
    socket.multicast_loop = 0
    assert_type(socket.MULTICAST_LOOP, int)
    socket.MULTICAST_LOOP = 0
    socket.vmci_buffer_size = 0
    socket.VMCI_BUFFER_SIZE = 0
    socket.vmci_buffer_min_size = 0
    socket.VMCI_BUFFER_MIN_SIZE = 0
    socket.vmci_buffer_max_size = 0
    socket.VMCI_BUFFER_MAX_SIZE = 0
    socket.vmci_connect_timeout = 0
    socket.VMCI_CONNECT_TIMEOUT = 0
    socket.norm_mode = 0
    socket.NORM_MODE = 0
    socket.norm_unicast_nack = 0
    socket.NORM_UNICAST_NACK = 0
    socket.norm_buffer_size = 0
    socket.NORM_BUFFER_SIZE = 0
    socket.norm_segment_size = 0
    socket.NORM_SEGMENT_SIZE = 0
    socket.norm_block_size = 0
    socket.NORM_BLOCK_SIZE = 0
    socket.norm_num_parity = 0
    socket.NORM_NUM_PARITY = 0
    socket.norm_num_autoparity = 0
    socket.NORM_NUM_AUTOPARITY = 0
    socket.norm_push = 0
    socket.NORM_PUSH = 0
    socket.wss_key_pem = b""
    socket.WSS_KEY_PEM = b""
    socket.wss_cert_pem = b""
    socket.WSS_CERT_PEM = b""
    socket.wss_trust_pem = b""
    socket.WSS_TRUST_PEM = b""
    socket.wss_hostname = b""
    socket.WSS_HOSTNAME = b""
    socket.wss_trust_system = 0
    socket.WSS_TRUST_SYSTEM = 0
    assert_type(socket.plain_server, int)
    socket.plain_server = 0
    assert_type(socket.PLAIN_SERVER, int)
    socket.PLAIN_SERVER = 0
    assert_type(socket.plain_username, bytes)
    socket.plain_username = b""
    assert_type(socket.PLAIN_USERNAME, bytes)
    socket.PLAIN_USERNAME = b""
    assert_type(socket.plain_password, bytes)
    socket.plain_password = b""
    assert_type(socket.PLAIN_PASSWORD, bytes)
    socket.PLAIN_PASSWORD = b""
    assert_type(socket.curve_server, int)
    socket.curve_server = 0
    assert_type(socket.CURVE_SERVER, int)
    socket.CURVE_SERVER = 0
    socket.curve_publickey = b""
    socket.CURVE_PUBLICKEY = b""
    socket.curve_secretkey = b""
    socket.CURVE_SECRETKEY = b""
    socket.curve_serverkey = b""
    socket.CURVE_SERVERKEY = b""
    assert_type(socket.zap_domain, bytes)
    socket.zap_domain = b""
    assert_type(socket.ZAP_DOMAIN, bytes)
    socket.ZAP_DOMAIN = b""
    assert_type(socket.zap_enforce_domain, int)
    socket.zap_enforce_domain = 0
    assert_type(socket.ZAP_ENFORCE_DOMAIN, int)
    socket.ZAP_ENFORCE_DOMAIN = 0
    socket.gssapi_server = 0
    socket.GSSAPI_SERVER = 0
    socket.gssapi_principal = b""
    socket.GSSAPI_PRINCIPAL = b""
    socket.gssapi_service_principal = b""
    socket.GSSAPI_SERVICE_PRINCIPAL = b""
    socket.gssapi_plaintext = 0
    socket.GSSAPI_PLAINTEXT = 0
    socket.gssapi_principal_nametype = 0
    socket.GSSAPI_PRINCIPAL_NAMETYPE = 0
    socket.gssapi_service_principal_nametype = 0
    socket.GSSAPI_SERVICE_PRINCIPAL_NAMETYPE = 0
    socket.tcp_accept_filter = b""
    socket.TCP_ACCEPT_FILTER = b""
    socket.ipc_filter_pid = 0
    socket.IPC_FILTER_PID = 0
    socket.ipc_filter_uid = 0
    socket.IPC_FILTER_UID = 0
    socket.ipc_filter_gid = 0
    socket.IPC_FILTER_GID = 0
    assert_type(socket.spin_us, int)
    socket.spin_us = 0
    assert_type(socket.SPIN_US, int)
    socket.SPIN_US = 0
    assert_type(socket.ipc_file_mode, int)
    socket.ipc_file_mode = 0
    assert_type(socket.IPC_FILE_MODE, int)
    socket.IPC_FILE_MODE = 0
    assert_type(socket.ipc_mode, int)
    socket.ipc_mode = 0
    assert_type(socket.IPC_MODE, int)
    socket.IPC_MODE = 0
    assert_type(socket.ipc_takeover, int)
    socket.ipc_takeover = 0
    assert_type(socket.IPC_TAKEOVER, int)
    socket.IPC_TAKEOVER = 0
    assert_type(socket.redeliver, int)
    socket.redeliver = 0
    assert_type(socket.REDELIVER, int)
    socket.REDELIVER = 0
    assert_type(socket.ring_bytes, int)
    socket.ring_bytes = 0
    assert_type(socket.RING_BYTES, int)
    socket.RING_BYTES = 0
    assert_type(socket.hwm_bytes, int)
    socket.hwm_bytes = 0
    assert_type(socket.HWM_BYTES, int)
    socket.HWM_BYTES = 0
    assert_type(socket.overflow, int)
    socket.overflow = 0
    assert_type(socket.OVERFLOW, int)
    socket.OVERFLOW = 0
    assert_type(socket.arena_max, int)
    socket.arena_max = 0
    assert_type(socket.ARENA_MAX, int)
    socket.ARENA_MAX = 0
    assert_type(socket.ipc_strict, int)
    socket.ipc_strict = 0
    assert_type(socket.IPC_STRICT, int)
    socket.IPC_STRICT = 0


def context_options(context: zmq.Context) -> None:
    assert_type(context.io_threads, int)
    context.io_threads = 0
    assert_type(context.IO_THREADS, int)
    context.IO_THREADS = 0
    assert_type(context.max_sockets, int)
    context.max_sockets = 0
    assert_type(context.MAX_SOCKETS, int)
    context.MAX_SOCKETS = 0
    assert_type(context.socket_limit, int)
    context.socket_limit = 0
    assert_type(context.SOCKET_LIMIT, int)
    context.SOCKET_LIMIT = 0
    assert_type(context.thread_priority, int)
    context.thread_priority = 0
    assert_type(context.THREAD_PRIORITY, int)
    context.THREAD_PRIORITY = 0
    assert_type(context.thread_sched_policy, int)
    context.thread_sched_policy = 0
    assert_type(context.THREAD_SCHED_POLICY, int)
    context.THREAD_SCHED_POLICY = 0
    assert_type(context.max_msgsz, int)
    context.max_msgsz = 0
    assert_type(context.MAX_MSGSZ, int)
    context.MAX_MSGSZ = 0
    assert_type(context.msg_t_size, int)
    assert_type(context.MSG_T_SIZE, int)
    assert_type(context.thread_affinity_cpu_add, int)
    context.thread_affinity_cpu_add = 0
    assert_type(context.THREAD_AFFINITY_CPU_ADD, int)
    context.THREAD_AFFINITY_CPU_ADD = 0
    assert_type(context.thread_affinity_cpu_remove, int)
    context.thread_affinity_cpu_remove = 0
    assert_type(context.THREAD_AFFINITY_CPU_REMOVE, int)
    context.THREAD_AFFINITY_CPU_REMOVE = 0
    assert_type(context.thread_name_prefix, int)
    context.thread_name_prefix = 0
    assert_type(context.THREAD_NAME_PREFIX, int)
    context.THREAD_NAME_PREFIX = 0
    assert_type(context.routing_id, bytes)
    context.routing_id = b""
    assert_type(context.ROUTING_ID, bytes)
    context.ROUTING_ID = b""
    assert_type(context.identity, bytes)
    context.identity = b""
    assert_type(context.IDENTITY, bytes)
    context.IDENTITY = b""
    assert_type(context.router_mandatory, int)
    context.router_mandatory = 0
    assert_type(context.ROUTER_MANDATORY, int)
    context.ROUTER_MANDATORY = 0
    assert_type(context.fail_unroutable, int)
    context.fail_unroutable = 0
    assert_type(context.FAIL_UNROUTABLE, int)
    context.FAIL_UNROUTABLE = 0
    assert_type(context.router_behavior, int)
    context.router_behavior = 0
    assert_type(context.ROUTER_BEHAVIOR, int)
    context.ROUTER_BEHAVIOR = 0
    assert_type(context.router_handover, int)
    context.router_handover = 0
    assert_type(context.ROUTER_HANDOVER, int)
    context.ROUTER_HANDOVER = 0
    assert_type(context.router_raw, int)
    context.router_raw = 0
    assert_type(context.ROUTER_RAW, int)
    context.ROUTER_RAW = 0
    assert_type(context.probe_router, int)
    context.probe_router = 0
    assert_type(context.PROBE_ROUTER, int)
    context.PROBE_ROUTER = 0
    assert_type(context.connect_routing_id, bytes)
    context.connect_routing_id = b""
    assert_type(context.CONNECT_ROUTING_ID, bytes)
    context.CONNECT_ROUTING_ID = b""
    assert_type(context.connect_rid, bytes)
    context.connect_rid = b""
    assert_type(context.CONNECT_RID, bytes)
    context.CONNECT_RID = b""
    assert_type(context.router_notify, int)
    context.router_notify = 0
    assert_type(context.ROUTER_NOTIFY, int)
    context.ROUTER_NOTIFY = 0
    assert_type(context.req_correlate, int)
    context.req_correlate = 0
    assert_type(context.REQ_CORRELATE, int)
    context.REQ_CORRELATE = 0
    assert_type(context.req_relaxed, int)
    context.req_relaxed = 0
    assert_type(context.REQ_RELAXED, int)
    context.REQ_RELAXED = 0
    assert_type(context.stream_notify, int)
    context.stream_notify = 0
    assert_type(context.STREAM_NOTIFY, int)
    context.STREAM_NOTIFY = 0
    assert_type(context.subscribe, bytes)
    context.subscribe = b""
    assert_type(context.SUBSCRIBE, bytes)
    context.SUBSCRIBE = b""
    assert_type(context.unsubscribe, bytes)
    context.unsubscribe = b""
    assert_type(context.UNSUBSCRIBE, bytes)
    context.UNSUBSCRIBE = b""
    assert_type(context.xpub_verbose, int)
    context.xpub_verbose = 0
    assert_type(context.XPUB_VERBOSE, int)
    context.XPUB_VERBOSE = 0
    assert_type(context.xpub_verboser, int)
    context.xpub_verboser = 0
    assert_type(context.XPUB_VERBOSER, int)
    context.XPUB_VERBOSER = 0
    assert_type(context.xpub_manual, int)
    context.xpub_manual = 0
    assert_type(context.XPUB_MANUAL, int)
    context.XPUB_MANUAL = 0
    assert_type(context.xpub_manual_last_value, int)
    context.xpub_manual_last_value = 0
    assert_type(context.XPUB_MANUAL_LAST_VALUE, int)
    context.XPUB_MANUAL_LAST_VALUE = 0
    assert_type(context.xpub_nodrop, int)
    context.xpub_nodrop = 0
    assert_type(context.XPUB_NODROP, int)
    context.XPUB_NODROP = 0
    assert_type(context.xpub_welcome_msg, bytes)
    context.xpub_welcome_msg = b""
    assert_type(context.XPUB_WELCOME_MSG, bytes)
    context.XPUB_WELCOME_MSG = b""
    assert_type(context.only_first_subscribe, int)
    context.only_first_subscribe = 0
    assert_type(context.ONLY_FIRST_SUBSCRIBE, int)
    context.ONLY_FIRST_SUBSCRIBE = 0
    assert_type(context.invert_matching, int)
    context.invert_matching = 0
    assert_type(context.INVERT_MATCHING, int)
    context.INVERT_MATCHING = 0
    assert_type(context.topics_count, int)
    context.topics_count = 0
    assert_type(context.TOPICS_COUNT, int)
    context.TOPICS_COUNT = 0
    assert_type(context.xsub_verbose_unsubscribe, int)
    context.xsub_verbose_unsubscribe = 0
    assert_type(context.XSUB_VERBOSE_UNSUBSCRIBE, int)
    context.XSUB_VERBOSE_UNSUBSCRIBE = 0
    assert_type(context.hwm, int)
    context.hwm = 0
    assert_type(context.HWM, int)
    context.HWM = 0
    assert_type(context.sndhwm, int)
    context.sndhwm = 0
    assert_type(context.SNDHWM, int)
    context.SNDHWM = 0
    assert_type(context.rcvhwm, int)
    context.rcvhwm = 0
    assert_type(context.RCVHWM, int)
    context.RCVHWM = 0
    assert_type(context.conflate, int)
    context.conflate = 0
    assert_type(context.CONFLATE, int)
    context.CONFLATE = 0
    assert_type(context.maxmsgsize, int)
    context.maxmsgsize = 0
    assert_type(context.MAXMSGSIZE, int)
    context.MAXMSGSIZE = 0
    assert_type(context.sndbuf, int)
    context.sndbuf = 0
    assert_type(context.SNDBUF, int)
    context.SNDBUF = 0
    assert_type(context.rcvbuf, int)
    context.rcvbuf = 0
    assert_type(context.RCVBUF, int)
    context.RCVBUF = 0
    assert_type(context.immediate, int)
    context.immediate = 0
    assert_type(context.IMMEDIATE, int)
    context.IMMEDIATE = 0
    assert_type(context.delay_attach_on_connect, int)
    context.delay_attach_on_connect = 0
    assert_type(context.DELAY_ATTACH_ON_CONNECT, int)
    context.DELAY_ATTACH_ON_CONNECT = 0
    assert_type(context.in_batch_size, int)
    context.in_batch_size = 0
    assert_type(context.IN_BATCH_SIZE, int)
    context.IN_BATCH_SIZE = 0
    assert_type(context.out_batch_size, int)
    context.out_batch_size = 0
    assert_type(context.OUT_BATCH_SIZE, int)
    context.OUT_BATCH_SIZE = 0
    assert_type(context.priority, int)
    context.priority = 0
    assert_type(context.PRIORITY, int)
    context.PRIORITY = 0
    assert_type(context.busy_poll, int)
    context.busy_poll = 0
    assert_type(context.BUSY_POLL, int)
    context.BUSY_POLL = 0
    assert_type(context.sndtimeo, int)
    context.sndtimeo = 0
    assert_type(context.SNDTIMEO, int)
    context.SNDTIMEO = 0
    assert_type(context.rcvtimeo, int)
    context.rcvtimeo = 0
    assert_type(context.RCVTIMEO, int)
    context.RCVTIMEO = 0
    assert_type(context.linger, int)
    context.linger = 0
    assert_type(context.LINGER, int)
    context.LINGER = 0
    assert_type(context.type, int)
    context.type = 0
    assert_type(context.TYPE, int)
    context.TYPE = 0
    assert_type(context.rcvmore, int)
    context.rcvmore = 0
    assert_type(context.RCVMORE, int)
    context.RCVMORE = 0
    assert_type(context.fd, int)
    context.fd = 0
    assert_type(context.FD, int)
    context.FD = 0
    assert_type(context.events, int)
    context.events = 0
    assert_type(context.EVENTS, int)
    context.EVENTS = 0
    assert_type(context.last_endpoint, bytes)
    context.last_endpoint = b""
    assert_type(context.LAST_ENDPOINT, bytes)
    context.LAST_ENDPOINT = b""
    assert_type(context.mechanism, int)
    context.mechanism = 0
    assert_type(context.MECHANISM, int)
    context.MECHANISM = 0
    assert_type(context.thread_safe, int)
    context.thread_safe = 0
    assert_type(context.THREAD_SAFE, int)
    context.THREAD_SAFE = 0
    assert_type(context.affinity, int)
    context.affinity = 0
    assert_type(context.AFFINITY, int)
    context.AFFINITY = 0
    assert_type(context.backlog, int)
    context.backlog = 0
    assert_type(context.BACKLOG, int)
    context.BACKLOG = 0
    assert_type(context.reconnect_ivl, int)
    context.reconnect_ivl = 0
    assert_type(context.RECONNECT_IVL, int)
    context.RECONNECT_IVL = 0
    assert_type(context.reconnect_ivl_max, int)
    context.reconnect_ivl_max = 0
    assert_type(context.RECONNECT_IVL_MAX, int)
    context.RECONNECT_IVL_MAX = 0
    assert_type(context.reconnect_stop, int)
    context.reconnect_stop = 0
    assert_type(context.RECONNECT_STOP, int)
    context.RECONNECT_STOP = 0
    assert_type(context.connect_timeout, int)
    context.connect_timeout = 0
    assert_type(context.CONNECT_TIMEOUT, int)
    context.CONNECT_TIMEOUT = 0
    assert_type(context.handshake_ivl, int)
    context.handshake_ivl = 0
    assert_type(context.HANDSHAKE_IVL, int)
    context.HANDSHAKE_IVL = 0
    assert_type(context.heartbeat_ivl, int)
    context.heartbeat_ivl = 0
    assert_type(context.HEARTBEAT_IVL, int)
    context.HEARTBEAT_IVL = 0
    assert_type(context.heartbeat_ttl, int)
    context.heartbeat_ttl = 0
    assert_type(context.HEARTBEAT_TTL, int)
    context.HEARTBEAT_TTL = 0
    assert_type(context.heartbeat_timeout, int)
    context.heartbeat_timeout = 0
    assert_type(context.HEARTBEAT_TIMEOUT, int)
    context.HEARTBEAT_TIMEOUT = 0
    assert_type(context.use_fd, int)
    context.use_fd = 0
    assert_type(context.USE_FD, int)
    context.USE_FD = 0
    assert_type(context.metadata, bytes)
    context.metadata = b""
    assert_type(context.METADATA, bytes)
    context.METADATA = b""
    assert_type(context.hello_msg, bytes)
    context.hello_msg = b""
    assert_type(context.HELLO_MSG, bytes)
    context.HELLO_MSG = b""
    assert_type(context.disconnect_msg, bytes)
    context.disconnect_msg = b""
    assert_type(context.DISCONNECT_MSG, bytes)
    context.DISCONNECT_MSG = b""
    assert_type(context.hiccup_msg, bytes)
    context.hiccup_msg = b""
    assert_type(context.HICCUP_MSG, bytes)
    context.HICCUP_MSG = b""
    assert_type(context.blocky, int)
    context.blocky = 0
    assert_type(context.BLOCKY, int)
    context.BLOCKY = 0
    assert_type(context.ipv6, int)
    context.ipv6 = 0
    assert_type(context.IPV6, int)
    context.IPV6 = 0
    assert_type(context.ipv4only, int)
    context.ipv4only = 0
    assert_type(context.IPV4ONLY, int)
    context.IPV4ONLY = 0
    assert_type(context.tcp_keepalive, int)
    context.tcp_keepalive = 0
    assert_type(context.TCP_KEEPALIVE, int)
    context.TCP_KEEPALIVE = 0
    assert_type(context.tcp_keepalive_cnt, int)
    context.tcp_keepalive_cnt = 0
    assert_type(context.TCP_KEEPALIVE_CNT, int)
    context.TCP_KEEPALIVE_CNT = 0
    assert_type(context.tcp_keepalive_idle, int)
    context.tcp_keepalive_idle = 0
    assert_type(context.TCP_KEEPALIVE_IDLE, int)
    context.TCP_KEEPALIVE_IDLE = 0
    assert_type(context.tcp_keepalive_intvl, int)
    context.tcp_keepalive_intvl = 0
    assert_type(context.TCP_KEEPALIVE_INTVL, int)
    context.TCP_KEEPALIVE_INTVL = 0
    assert_type(context.tcp_maxrt, int)
    context.tcp_maxrt = 0
    assert_type(context.TCP_MAXRT, int)
    context.TCP_MAXRT = 0
    assert_type(context.tos, int)
    context.tos = 0
    assert_type(context.TOS, int)
    context.TOS = 0
    assert_type(context.bindtodevice, bytes)
    context.bindtodevice = b""
    assert_type(context.BINDTODEVICE, bytes)
    context.BINDTODEVICE = b""
    assert_type(context.socks_proxy, bytes)
    context.socks_proxy = b""
    assert_type(context.SOCKS_PROXY, bytes)
    context.SOCKS_PROXY = b""
    assert_type(context.socks_username, bytes)
    context.socks_username = b""
    assert_type(context.SOCKS_USERNAME, bytes)
    context.SOCKS_USERNAME = b""
    assert_type(context.socks_password, bytes)
    context.socks_password = b""
    assert_type(context.SOCKS_PASSWORD, bytes)
    context.SOCKS_PASSWORD = b""
    assert_type(context.loopback_fastpath, int)
    context.loopback_fastpath = 0
    assert_type(context.LOOPBACK_FASTPATH, int)
    context.LOOPBACK_FASTPATH = 0
    assert_type(context.rate, int)
    context.rate = 0
    assert_type(context.RATE, int)
    context.RATE = 0
    assert_type(context.recovery_ivl, int)
    context.recovery_ivl = 0
    assert_type(context.RECOVERY_IVL, int)
    context.RECOVERY_IVL = 0
    assert_type(context.multicast_hops, int)
    context.multicast_hops = 0
    assert_type(context.MULTICAST_HOPS, int)
    context.MULTICAST_HOPS = 0
    assert_type(context.multicast_maxtpdu, int)
    context.multicast_maxtpdu = 0
    assert_type(context.MULTICAST_MAXTPDU, int)
    context.MULTICAST_MAXTPDU = 0
    assert_type(context.multicast_loop, int)
    context.multicast_loop = 0
    assert_type(context.MULTICAST_LOOP, int)
    context.MULTICAST_LOOP = 0
    assert_type(context.vmci_buffer_size, int)
    context.vmci_buffer_size = 0
    assert_type(context.VMCI_BUFFER_SIZE, int)
    context.VMCI_BUFFER_SIZE = 0
    assert_type(context.vmci_buffer_min_size, int)
    context.vmci_buffer_min_size = 0
    assert_type(context.VMCI_BUFFER_MIN_SIZE, int)
    context.VMCI_BUFFER_MIN_SIZE = 0
    assert_type(context.vmci_buffer_max_size, int)
    context.vmci_buffer_max_size = 0
    assert_type(context.VMCI_BUFFER_MAX_SIZE, int)
    context.VMCI_BUFFER_MAX_SIZE = 0
    assert_type(context.vmci_connect_timeout, int)
    context.vmci_connect_timeout = 0
    assert_type(context.VMCI_CONNECT_TIMEOUT, int)
    context.VMCI_CONNECT_TIMEOUT = 0
    assert_type(context.norm_mode, int)
    context.norm_mode = 0
    assert_type(context.NORM_MODE, int)
    context.NORM_MODE = 0
    assert_type(context.norm_unicast_nack, int)
    context.norm_unicast_nack = 0
    assert_type(context.NORM_UNICAST_NACK, int)
    context.NORM_UNICAST_NACK = 0
    assert_type(context.norm_buffer_size, int)
    context.norm_buffer_size = 0
    assert_type(context.NORM_BUFFER_SIZE, int)
    context.NORM_BUFFER_SIZE = 0
    assert_type(context.norm_segment_size, int)
    context.norm_segment_size = 0
    assert_type(context.NORM_SEGMENT_SIZE, int)
    context.NORM_SEGMENT_SIZE = 0
    assert_type(context.norm_block_size, int)
    context.norm_block_size = 0
    assert_type(context.NORM_BLOCK_SIZE, int)
    context.NORM_BLOCK_SIZE = 0
    assert_type(context.norm_num_parity, int)
    context.norm_num_parity = 0
    assert_type(context.NORM_NUM_PARITY, int)
    context.NORM_NUM_PARITY = 0
    assert_type(context.norm_num_autoparity, int)
    context.norm_num_autoparity = 0
    assert_type(context.NORM_NUM_AUTOPARITY, int)
    context.NORM_NUM_AUTOPARITY = 0
    assert_type(context.norm_push, int)
    context.norm_push = 0
    assert_type(context.NORM_PUSH, int)
    context.NORM_PUSH = 0
    assert_type(context.wss_key_pem, bytes)
    context.wss_key_pem = b""
    assert_type(context.WSS_KEY_PEM, bytes)
    context.WSS_KEY_PEM = b""
    assert_type(context.wss_cert_pem, bytes)
    context.wss_cert_pem = b""
    assert_type(context.WSS_CERT_PEM, bytes)
    context.WSS_CERT_PEM = b""
    assert_type(context.wss_trust_pem, bytes)
    context.wss_trust_pem = b""
    assert_type(context.WSS_TRUST_PEM, bytes)
    context.WSS_TRUST_PEM = b""
    assert_type(context.wss_hostname, bytes)
    context.wss_hostname = b""
    assert_type(context.WSS_HOSTNAME, bytes)
    context.WSS_HOSTNAME = b""
    assert_type(context.wss_trust_system, int)
    context.wss_trust_system = 0
    assert_type(context.WSS_TRUST_SYSTEM, int)
    context.WSS_TRUST_SYSTEM = 0
    assert_type(context.plain_server, int)
    context.plain_server = 0
    assert_type(context.PLAIN_SERVER, int)
    context.PLAIN_SERVER = 0
    assert_type(context.plain_username, bytes)
    context.plain_username = b""
    assert_type(context.PLAIN_USERNAME, bytes)
    context.PLAIN_USERNAME = b""
    assert_type(context.plain_password, bytes)
    context.plain_password = b""
    assert_type(context.PLAIN_PASSWORD, bytes)
    context.PLAIN_PASSWORD = b""
    assert_type(context.curve_server, int)
    context.curve_server = 0
    assert_type(context.CURVE_SERVER, int)
    context.CURVE_SERVER = 0
    assert_type(context.curve_publickey, bytes)
    context.curve_publickey = b""
    assert_type(context.CURVE_PUBLICKEY, bytes)
    context.CURVE_PUBLICKEY = b""
    assert_type(context.curve_secretkey, bytes)
    context.curve_secretkey = b""
    assert_type(context.CURVE_SECRETKEY, bytes)
    context.CURVE_SECRETKEY = b""
    assert_type(context.curve_serverkey, bytes)
    context.curve_serverkey = b""
    assert_type(context.CURVE_SERVERKEY, bytes)
    context.CURVE_SERVERKEY = b""
    assert_type(context.zap_domain, bytes)
    context.zap_domain = b""
    assert_type(context.ZAP_DOMAIN, bytes)
    context.ZAP_DOMAIN = b""
    assert_type(context.zap_enforce_domain, int)
    context.zap_enforce_domain = 0
    assert_type(context.ZAP_ENFORCE_DOMAIN, int)
    context.ZAP_ENFORCE_DOMAIN = 0
    assert_type(context.gssapi_server, int)
    context.gssapi_server = 0
    assert_type(context.GSSAPI_SERVER, int)
    context.GSSAPI_SERVER = 0
    assert_type(context.gssapi_principal, bytes)
    context.gssapi_principal = b""
    assert_type(context.GSSAPI_PRINCIPAL, bytes)
    context.GSSAPI_PRINCIPAL = b""
    assert_type(context.gssapi_service_principal, bytes)
    context.gssapi_service_principal = b""
    assert_type(context.GSSAPI_SERVICE_PRINCIPAL, bytes)
    context.GSSAPI_SERVICE_PRINCIPAL = b""
    assert_type(context.gssapi_plaintext, int)
    context.gssapi_plaintext = 0
    assert_type(context.GSSAPI_PLAINTEXT, int)
    context.GSSAPI_PLAINTEXT = 0
    assert_type(context.gssapi_principal_nametype, int)
    context.gssapi_principal_nametype = 0
    assert_type(context.GSSAPI_PRINCIPAL_NAMETYPE, int)
    context.GSSAPI_PRINCIPAL_NAMETYPE = 0
    assert_type(context.gssapi_service_principal_nametype, int)
    context.gssapi_service_principal_nametype = 0
    assert_type(context.GSSAPI_SERVICE_PRINCIPAL_NAMETYPE, int)
    context.GSSAPI_SERVICE_PRINCIPAL_NAMETYPE = 0
    assert_type(context.tcp_accept_filter, bytes)
    context.tcp_accept_filter = b""
    assert_type(context.TCP_ACCEPT_FILTER, bytes)
    context.TCP_ACCEPT_FILTER = b""
    assert_type(context.ipc_filter_pid, int)
    context.ipc_filter_pid = 0
    assert_type(context.IPC_FILTER_PID, int)
    context.IPC_FILTER_PID = 0
    assert_type(context.ipc_filter_uid, int)
    context.ipc_filter_uid = 0
    assert_type(context.IPC_FILTER_UID, int)
    context.IPC_FILTER_UID = 0
    assert_type(context.ipc_filter_gid, int)
    context.ipc_filter_gid = 0
    assert_type(context.IPC_FILTER_GID, int)
    context.IPC_FILTER_GID = 0
    assert_type(context.spin_us, int)
    context.spin_us = 0
    assert_type(context.SPIN_US, int)
    context.SPIN_US = 0
    assert_type(context.ipc_file_mode, int)
    context.ipc_file_mode = 0
    assert_type(context.IPC_FILE_MODE, int)
    context.IPC_FILE_MODE = 0
    assert_type(context.ipc_mode, int)
    context.ipc_mode = 0
    assert_type(context.IPC_MODE, int)
    context.IPC_MODE = 0
    assert_type(context.ipc_takeover, int)
    context.ipc_takeover = 0
    assert_type(context.IPC_TAKEOVER, int)
    context.IPC_TAKEOVER = 0
    assert_type(context.redeliver, int)
    context.redeliver = 0
    assert_type(context.REDELIVER, int)
    context.REDELIVER = 0
    assert_type(context.ring_bytes, int)
    context.ring_bytes = 0
    assert_type(context.RING_BYTES, int)
    context.RING_BYTES = 0
    assert_type(context.hwm_bytes, int)
    context.hwm_bytes = 0
    assert_type(context.HWM_BYTES, int)
    context.HWM_BYTES = 0
    assert_type(context.overflow, int)
    context.overflow = 0
    assert_type(context.OVERFLOW, int)
    context.OVERFLOW = 0
    assert_type(context.arena_max, int)
    context.arena_max = 0
    assert_type(context.ARENA_MAX, int)
    context.ARENA_MAX = 0
    assert_type(context.ipc_strict, int)
    context.ipc_strict = 0
    assert_type(context.IPC_STRICT, int)
    context.IPC_STRICT = 0
